//! One value of an event as one cell, as PostgreSQL would have sent it.

use super::base64;
use super::number;
use super::scan::{Quoted, Scanner, unescape};
use super::temporal::{self, Unit};
use crate::error::{Error, Result};
use crate::table::Type;
use crate::value::bytea;

/// Dimensions that PostgreSQL's arrays may have.
const DEPTH_MAX: usize = 6;
/// Digits that PostgreSQL's `numeric` has room for before its point.
const DIGITS_MAX: usize = 131_072;
/// Longest bit string that is filled up with zeros to its column's length.
pub(super) const BITS_MAX: u32 = 65_536;

/// Why a value is not a cell of its column.
#[derive(Debug)]
pub(super) enum Miss {
    /// It is JSON of another type than the column has; its first byte.
    Kind,
    /// It is not what its type promises, or no JSON.
    Fault(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

/// Memory that conversions reuse.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// What base64 said.
    bytes: Vec<u8>,
    /// What a string said.
    text: Vec<u8>,
    /// An element of an array.
    element: Vec<u8>,
    /// Where the output of a record has to end.
    pub(super) end: usize,
}

impl Scratch {
    /// Whether what was written of the value at `at` has room.
    #[inline]
    pub(super) fn fits(&self, out: &[u8], at: usize) -> Result<()> {
        if out.len() > self.end {
            return Err(Error::malformed("a value that becomes much larger than its bytes", at));
        }
        Ok(())
    }
}

/// How the values of one column are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decoder {
    Bool,
    Integer,
    Float4,
    Float8,
    /// An integer of any length.
    Number,
    Text,
    /// Any JSON, as it stands there.
    Json,
    Bytes,
    Decimal {
        scale: i32,
    },
    Variable,
    /// Length, zeros filled up; None as it comes.
    Bits(Option<u32>),
    Date,
    Time(Unit),
    Timestamp(Unit),
    IsoDate,
    IsoTime,
    IsoTimestamp,
    ZonedTime,
    ZonedTimestamp,
    Interval,
    IsoInterval,
    Point,
    /// PostGIS: its extended well-known binary.
    Geometry,
    /// A map of texts.
    Hstore,
    /// pgvector's list in brackets.
    Vector(Box<Decoder>),
    Array(Box<Decoder>),
}

impl Decoder {
    /// Read the value that comes next, not null, and append its cell's text.
    #[inline]
    pub(super) fn write(
        &self,
        scanner: &mut Scanner<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Miss> {
        let first = scanner.peek()?;
        if !self.begins(first) {
            return Err(Miss::Kind);
        }
        let at = scanner.at();
        let malformed = || Miss::Fault(Error::malformed(self.malformed(), at));
        match self {
            Self::Bool => {
                let flag = scanner.boolean()?.ok_or_else(malformed)?;
                out.push(if flag { b't' } else { b'f' });
            }
            Self::Integer => {
                let digits = scanner.number()?;
                crate::value::number::integer(digits).ok_or(Miss::Kind)?;
                out.extend_from_slice(digits);
            }
            Self::Number => {
                let digits = scanner.number()?;
                if !whole(digits) || digits.len() > DIGITS_MAX {
                    return Err(Miss::Kind);
                }
                out.extend_from_slice(digits);
            }
            Self::Float4 | Self::Float8 => self.float(first, scanner, out)?,
            Self::Text => unescape(scanner.string()?, out).ok_or_else(malformed)?,
            Self::Json => out.extend_from_slice(scanner.skip()?),
            Self::Array(element) => element.array(scanner, scratch, out)?,
            Self::Vector(element) => element.vector(scanner, scratch, out)?,
            Self::Hstore => hstore(scanner, scratch, out)?,
            Self::Point | Self::Geometry | Self::Variable => self.parts(scanner, scratch, out)?,
            Self::Date | Self::Time(_) | Self::Timestamp(_) | Self::Interval => {
                let number = crate::value::number::integer(scanner.number()?).ok_or_else(malformed)?;
                self.moment(number, out).ok_or_else(malformed)?;
            }
            _ => self.text(scanner.string()?, scratch, out).ok_or_else(malformed)?,
        }
        Ok(())
    }

    /// Whether a value that begins so may be of this type.
    #[inline]
    fn begins(&self, first: u8) -> bool {
        let number = first.is_ascii_digit() || first == b'-';
        match self {
            Self::Bool => matches!(first, b't' | b'f'),
            Self::Integer | Self::Number | Self::Date | Self::Time(_) | Self::Timestamp(_) | Self::Interval => number,
            Self::Float4 | Self::Float8 => number || first == b'"',
            Self::Json => true,
            Self::Variable | Self::Point | Self::Geometry | Self::Hstore => first == b'{',
            Self::Array(_) | Self::Vector(_) => first == b'[',
            _ => first == b'"',
        }
    }

    fn malformed(&self) -> &'static str {
        match self {
            Self::Text => "a string with an escape that is not JSON's",
            Self::Bytes => "not base64",
            Self::Decimal { .. } | Self::Variable => "not a decimal as Connect writes it",
            Self::Bits(_) => "not bits as Debezium writes them",
            Self::Date | Self::IsoDate => "not a date as Debezium writes it",
            Self::Time(_) | Self::IsoTime | Self::ZonedTime => "not a time as Debezium writes it",
            Self::Timestamp(_) | Self::IsoTimestamp | Self::ZonedTimestamp => "not a timestamp as Debezium writes it",
            Self::Interval | Self::IsoInterval => "not an interval as Debezium writes it",
            Self::Point | Self::Geometry => "not a geometry as Debezium writes it",
            Self::Hstore => "not a map of texts",
            _ => "not a value of the column's type",
        }
    }

    fn float(&self, first: u8, scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> std::result::Result<(), Miss> {
        if first == b'"' {
            let text = scanner.string()?.raw;
            if !matches!(text, b"NaN" | b"Infinity" | b"-Infinity") {
                return Err(Miss::Kind);
            }
            out.extend_from_slice(text);
            return Ok(());
        }
        let text = scanner.number()?;
        let written =
            if *self == Self::Float4 { number::write_single(text, out) } else { number::write_double(text, out) };
        Ok(written.ok_or_else(|| scanner.fault("a number that is no floating point"))?)
    }

    fn moment(&self, number: i64, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Date => temporal::date(number, out),
            Self::Time(unit) => temporal::time(number, *unit, out),
            Self::Timestamp(unit) => temporal::timestamp(number, *unit, out),
            _ => {
                temporal::interval(number, out);
                Some(())
            }
        }
    }

    /// Types whose values are strings.
    fn text(&self, quoted: Quoted<'_>, scratch: &mut Scratch, out: &mut Vec<u8>) -> Option<()> {
        let Scratch { bytes, text, .. } = scratch;
        let said = if quoted.escaped {
            text.clear();
            unescape(quoted, text)?;
            &text[..]
        } else {
            quoted.raw
        };
        match self {
            Self::IsoDate => return temporal::iso_date(said, out),
            Self::IsoTime => return temporal::iso_time(said, b"", out),
            Self::ZonedTime => return temporal::iso_time(said, b"+00", out),
            Self::IsoTimestamp => return temporal::iso_timestamp(said.strip_suffix(b"Z").unwrap_or(said), b"", out),
            Self::ZonedTimestamp => return temporal::iso_timestamp(said, b"+00", out),
            Self::IsoInterval => return temporal::iso_interval(said, out),
            _ => {}
        }
        bytes.clear();
        base64::decode(said, bytes)?;
        match self {
            Self::Bytes => bytea::hex(bytes, out),
            Self::Decimal { scale } => return number::write_unscaled(bytes, *scale, out),
            Self::Bits(length) => return bits(bytes, *length, out),
            _ => return None,
        }
        Some(())
    }

    /// Types whose values are structs: Point, Geometry and VariableScaleDecimal.
    fn parts(
        &self,
        scanner: &mut Scanner<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Miss> {
        let malformed = Error::malformed(self.malformed(), scanner.at());
        let (mut x, mut y, mut binary, mut scale) = (None, None, None, None);
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(name) = scanner.member(&mut first)? {
            match name.raw {
                b"wkb" | b"value" if scanner.peek()? == b'"' => binary = Some(scanner.string()?),
                b"x" => x = Some(scanner.skip()?),
                b"y" => y = Some(scanner.skip()?),
                b"scale" => scale = crate::value::number::integer(scanner.skip()?),
                _ => drop(scanner.skip()?),
            }
        }
        self.put_together(x.zip(y), binary, scale, scratch, out).ok_or(Miss::Fault(malformed))
    }

    fn put_together(
        &self,
        point: Option<(&[u8], &[u8])>,
        binary: Option<Quoted<'_>>,
        scale: Option<i64>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        if *self == Self::Point {
            let (x, y) = point?;
            out.push(b'(');
            coordinate(x, out)?;
            out.push(b',');
            coordinate(y, out)?;
            out.push(b')');
            return Some(());
        }
        let bytes = &mut scratch.bytes;
        bytes.clear();
        base64::decode(binary?.raw, bytes)?;
        if *self == Self::Geometry {
            let start = out.len();
            bytea::digits(bytes, out);
            out[start..].make_ascii_uppercase();
            return Some(());
        }
        number::write_unscaled(bytes, i32::try_from(scale?).ok()?, out)
    }

    /// A list of values of this type as an array literal.
    fn array(
        &self,
        scanner: &mut Scanner<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Miss> {
        let mut element = std::mem::take(&mut scratch.element);
        let read = self.dimension(scanner, scratch, &mut element, DEPTH_MAX, out);
        scratch.element = element;
        read
    }

    fn dimension(
        &self,
        scanner: &mut Scanner<'_>,
        scratch: &mut Scratch,
        element: &mut Vec<u8>,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Miss> {
        let depth = depth.checked_sub(1).ok_or_else(|| scanner.fault("a list of too many dimensions"))?;
        scanner.open(b'[')?;
        out.push(b'{');
        let mut first = true;
        while {
            let separator = !first;
            let more = scanner.element(&mut first)?;
            if more && separator {
                out.push(b',');
            }
            more
        } {
            match scanner.peek()? {
                b'[' if !matches!(self, Self::Json | Self::Vector(_)) => {
                    self.dimension(scanner, scratch, element, depth, out)?;
                }
                b'n' if scanner.null()? => out.extend_from_slice(b"NULL"),
                _ => {
                    element.clear();
                    self.write(scanner, scratch, element)?;
                    quote(element, out);
                    scratch.fits(out, scanner.at())?;
                }
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn vector(
        &self,
        scanner: &mut Scanner<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Miss> {
        scanner.open(b'[')?;
        out.push(b'[');
        let (mut first, mut separator) = (true, false);
        while scanner.element(&mut first)? {
            if separator {
                out.push(b',');
            }
            separator = true;
            self.write(scanner, scratch, out)?;
        }
        out.push(b']');
        Ok(())
    }
}

/// A coordinate: infinities and NaN stand in quotes.
fn coordinate(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match text {
        b"\"NaN\"" | b"\"Infinity\"" | b"\"-Infinity\"" => {
            out.extend_from_slice(&text[1..text.len() - 1]);
            Some(())
        }
        _ => number::write_double(text, out),
    }
}

/// `java.util.BitSet.toByteArray`, little-endian, as a bit string.
fn bits(bytes: &[u8], length: Option<u32>, out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = bytes;
    while let [rest @ .., 0] = bytes {
        bytes = rest;
    }
    let used = bytes.last().map_or(0, |last| bytes.len() * 8 - last.leading_zeros() as usize);
    let length = length.map_or(used, |length| length as usize);
    if used > length {
        return None;
    }
    out.extend(std::iter::repeat_n(b'0', length - used));
    out.extend((0..used).rev().map(|bit| b'0' + (bytes[bit / 8] >> (bit % 8) & 1)));
    Some(())
}

/// Append an element of an array as PostgreSQL prints it: in quotes only where it needs them.
fn quote(element: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t'..=b'\r');
    if !element.is_empty() && !element.eq_ignore_ascii_case(b"null") && !element.iter().any(special) {
        return out.extend_from_slice(element);
    }
    escaped(element, out);
}

fn escaped(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// An object of texts as `hstore` prints it: shorter keys first, then by their bytes.
fn hstore(scanner: &mut Scanner<'_>, scratch: &mut Scratch, out: &mut Vec<u8>) -> std::result::Result<(), Miss> {
    let malformed = Error::malformed("not a map of texts", scanner.at());
    let mut pairs: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    let said = |quoted: Quoted<'_>| {
        let mut text = Vec::new();
        unescape(quoted, &mut text).map(|()| text)
    };
    scanner.open(b'{')?;
    let mut first = true;
    while let Some(name) = scanner.member(&mut first)? {
        let value = if scanner.null()? { Some(None) } else { said(scanner.string()?).map(Some) };
        let (Some(name), Some(value)) = (said(name), value) else { return Err(Miss::Fault(malformed)) };
        pairs.push((name, value));
    }
    pairs.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    scratch.text.clear();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        escaped(name, out);
        out.extend_from_slice(b"=>");
        match value {
            Some(value) => escaped(value, out),
            None => out.extend_from_slice(b"NULL"),
        }
    }
    Ok(())
}

/// How a value without a schema is read, by its first byte: None for null.
pub(super) fn inferred(scanner: &mut Scanner<'_>) -> Result<Option<Decoder>> {
    Ok(match scanner.peek()? {
        b'n' => None,
        b't' | b'f' => Some(Decoder::Bool),
        b'"' => Some(Decoder::Text),
        b'{' | b'[' => Some(Decoder::Json),
        _ => {
            let mut ahead = scanner.clone();
            let digits = ahead.number()?;
            Some(match (whole(digits), crate::value::number::integer(digits)) {
                (true, Some(_)) => Decoder::Integer,
                (true, None) => Decoder::Number,
                _ => Decoder::Float8,
            })
        }
    })
}

/// Whether a number has neither a point nor an exponent.
fn whole(number: &[u8]) -> bool {
    !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// The decoder that reads what both read: JSON holds everything, and every digit of it.
pub(super) fn joined(one: &Decoder, other: &Decoder) -> Decoder {
    match (one, other) {
        (one, other) if one == other => one.clone(),
        (Decoder::Integer, Decoder::Float8) | (Decoder::Float8, Decoder::Integer) => Decoder::Float8,
        (Decoder::Integer, Decoder::Number) | (Decoder::Number, Decoder::Integer) => Decoder::Number,
        _ => Decoder::Json,
    }
}

/// The portable type of what was inferred.
pub(super) fn kind(decoder: &Decoder) -> Type {
    match decoder {
        Decoder::Bool => Type::Bool,
        Decoder::Integer => Type::Int8,
        Decoder::Float8 => Type::Float8,
        Decoder::Number => Type::Numeric(None),
        Decoder::Json => Type::Json,
        _ => Type::Text,
    }
}
