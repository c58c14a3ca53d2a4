//! The values of a message as Connect's JSON has them.

use std::collections::HashSet;

use super::link::{Field, Kind, Meaning, Message, Presence, Types};
use super::schema::scale;
use super::wire::{Raw, Seen, cursor, fields};
use crate::encode::connect::{Format, Json};
use crate::encode::protobuf::GREGORIAN_DAY;
use crate::error::{Error, Result};

/// Messages in messages; protobuf's own libraries follow as many.
const DEPTH_MAX: usize = 100;
const YEAR_MAX: i64 = 5_000_000;

/// Bytes of names and zeros that a value may be written with: few bytes can stand for many messages of many fields.
const WRITTEN_MAX: usize = 64 << 20;

/// Where a value is written to.
pub(super) struct Out<'a> {
    json: Json<'a>,
    /// What is left of `WRITTEN_MAX`.
    left: usize,
}

impl<'a> Out<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { json: Json::new(out, false), left: WRITTEN_MAX }
    }

    /// Take from what is left, for bytes that the value does not have; `at` is where they are called for.
    fn spend(&mut self, nbytes: usize, at: usize) -> Result<()> {
        let left = self.left.checked_sub(nbytes);
        self.left =
            left.ok_or_else(|| Error::malformed("protobuf of which more than 64 MB are names and zeros", at))?;
        Ok(())
    }
}

/// Some bytes of a record, and where they begin in it.
type Piece<'a> = (&'a [u8], usize);

impl Types {
    /// Write the message in `bytes` on its own.
    pub(super) fn write(&self, index: usize, piece: Piece<'_>, out: &mut Out<'_>) -> Result<()> {
        self.message(index, (piece, &[]), DEPTH_MAX, self.messages[index].envelope, out)
    }

    /// A message; `meta` is what the field says that holds it. With `bare`, a zero that is not written is null.
    fn message(
        &self,
        index: usize,
        (piece, meta): (Piece<'_>, &[(String, String)]),
        depth: usize,
        bare: bool,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let depth =
            depth.checked_sub(1).ok_or_else(|| Error::malformed("protobuf that is nested too deeply", piece.1))?;
        let message = &self.messages[index];
        if let Some(meaning) = message.meaning {
            return self.meant(meaning, message, (piece, meta), out);
        }
        out.spend(message.weight, piece.1)?;
        let found = fields(message, piece.0, piece.1)?;
        let mut rest = found.as_slice();
        out.json.begin_struct();
        for (at, field) in message.fields.iter().enumerate() {
            let here = rest.iter().take_while(|seen| seen.field == at).count();
            let (seen, after) = rest.split_at(here);
            rest = after;
            out.json.field(&field.out);
            match field.presence {
                Presence::List => self.list(field, seen, depth, out)?,
                Presence::Map => self.map(field, seen, depth, out)?,
                _ => self.single(field, seen, (depth, piece.1), bare, out)?,
            }
        }
        out.json.end_struct();
        Ok(())
    }

    /// A field that has one value at the most: the last that came. Several messages are one, in pieces.
    fn single(
        &self,
        field: &Field,
        seen: &[Seen<'_>],
        (depth, at): (usize, usize),
        bare: bool,
        out: &mut Out<'_>,
    ) -> Result<()> {
        match (seen, field.kind, field.presence) {
            ([], _, Presence::Required) => Err(Error::malformed("protobuf without a field that is required", at)),
            ([], _, Presence::Implicit) if !bare => self.zero(field, (depth, at), out),
            ([], ..) => {
                out.json.null();
                Ok(())
            }
            ([first, .., _], Kind::Message(index), _) => {
                let pieces: Vec<&[u8]> = seen.iter().map(|seen| bytes(seen.raw)).collect();
                let whole = pieces.concat();
                self.message(index, ((&whole, first.at), &field.meta), depth, field.bare, out)
            }
            ([.., last], ..) => self.value(field, last, depth, out),
        }
    }

    fn list(&self, field: &Field, seen: &[Seen<'_>], depth: usize, out: &mut Out<'_>) -> Result<()> {
        let (mut count, whole) = (0, matches!(field.kind, Kind::Text | Kind::Bytes | Kind::Message(_)));
        let mut one = |seen: Seen<'_>, out: &mut Out<'_>| {
            out.json.element(count == 0, false);
            count += 1;
            self.value(field, &seen, depth, out)
        };
        out.json.begin_list();
        for seen in seen {
            let packed = match seen.raw {
                Raw::Bytes(packed) if !whole => packed,
                _ => {
                    one(*seen, out)?;
                    continue;
                }
            };
            let mut cursor = cursor(packed, seen.at);
            while !cursor.is_done() {
                let raw = cursor.packed(field.kind)?;
                one(Seen { raw, ..*seen }, out)?;
            }
        }
        out.json.end_list(count);
        Ok(())
    }

    /// A map: of a key that comes again the last value counts.
    fn map(&self, field: &Field, seen: &[Seen<'_>], depth: usize, out: &mut Out<'_>) -> Result<()> {
        let Kind::Message(entry) = field.kind else { return Ok(()) };
        let entry = &self.messages[entry];
        let [key, value] = entry.fields.as_slice() else { return Ok(()) };
        let mut entries = Vec::with_capacity(seen.len());
        for seen in seen {
            entries.push((fields(entry, bytes(seen.raw), seen.at)?, seen.at));
        }
        let mut keys = HashSet::with_capacity(entries.len());
        let mut last: Vec<bool> = Vec::with_capacity(entries.len());
        for (parts, _) in entries.iter().rev() {
            let key = parts.iter().rev().find(|part| part.field == 0).map(|part| part.raw);
            last.push(keys.insert(key));
        }
        let named = key.kind == Kind::Text;
        let mut count = 0;
        out.json.begin_map(named);
        for ((parts, at), _) in entries.iter().zip(last.iter().rev()).filter(|(_, last)| **last) {
            let here = parts.iter().take_while(|part| part.field == 0).count();
            let (keys, values) = parts.split_at(here);
            out.json.key(count == 0);
            self.single(key, keys, (depth, *at), false, out)?;
            out.json.entry(true);
            self.single(value, values, (depth, *at), false, out)?;
            count += 1;
        }
        out.json.end_map(count);
        Ok(())
    }

    fn value(&self, field: &Field, seen: &Seen<'_>, depth: usize, out: &mut Out<'_>) -> Result<()> {
        match (field.kind, seen.raw) {
            (Kind::Message(index), Raw::Bytes(bytes)) => {
                self.message(index, ((bytes, seen.at), &field.meta), depth, field.bare, out)
            }
            (Kind::Text, Raw::Bytes(text)) => out.json.string(text).map_err(|reason| Error::malformed(reason, seen.at)),
            (Kind::Bytes, Raw::Bytes(bytes)) => {
                out.json.bytes(bytes);
                Ok(())
            }
            (Kind::Float, Raw::Four(bits)) => {
                out.json.single(f32::from_bits(bits));
                Ok(())
            }
            (Kind::Double, Raw::Eight(bits)) => {
                out.json.double(f64::from_bits(bits));
                Ok(())
            }
            (Kind::Bool, Raw::Varint(number)) => {
                out.json.boolean(number != 0);
                Ok(())
            }
            (Kind::Enum(index), Raw::Varint(number)) => {
                let number = narrow(number).map_err(|what| Error::malformed(what, seen.at))?;
                let name = i32::try_from(number).ok().and_then(|number| self.enums[index].name(number));
                let name = name.ok_or_else(|| Error::malformed("a protobuf enum without such a value", seen.at))?;
                out.spend(name.len(), seen.at)?;
                out.json.string(name.as_bytes()).map_err(|reason| Error::malformed(reason, seen.at))
            }
            (kind, raw) => {
                out.json.integer(integer(kind, raw).map_err(|what| Error::malformed(what, seen.at))?);
                Ok(())
            }
        }
    }

    /// What a field holds whose value is not written because it is the zero of its type.
    fn zero(&self, field: &Field, (depth, at): (usize, usize), out: &mut Out<'_>) -> Result<()> {
        let raw = match field.kind {
            Kind::Text | Kind::Bytes | Kind::Message(_) => Raw::Bytes(&[]),
            Kind::Float => Raw::Four(0),
            Kind::Double => Raw::Eight(0),
            Kind::Fixed32 | Kind::Sfixed32 => Raw::Four(0),
            Kind::Fixed64 | Kind::Sfixed64 => Raw::Eight(0),
            _ => Raw::Varint(0),
        };
        self.value(field, &Seen { field: 0, raw, at }, depth, out)
    }

    /// A message that stands for a value.
    fn meant(
        &self,
        meaning: Meaning,
        message: &Message,
        ((bytes, at), meta): (Piece<'_>, &[(String, String)]),
        out: &mut Out<'_>,
    ) -> Result<()> {
        let found = fields(message, bytes, at)?;
        let last = |field: usize| found.iter().rev().find(|seen| seen.field == field);
        if meaning == Meaning::Wrapper {
            let seen: Vec<Seen<'_>> = last(0).into_iter().copied().collect();
            return self.single(&message.fields[0], &seen, (1, at), false, out);
        }
        let fault = |what: &str| Error::malformed(what, at);
        if meaning == Meaning::Decimal {
            let number = last(0).map_or(&[][..], |seen| self::bytes(seen.raw));
            let given = last(2).map_or(Ok(0), |seen| integer(Kind::Int32, seen.raw)).map_err(fault)?;
            return decimal(number, given, scale(meta), out).map_err(fault);
        }
        let mut numbers = [0_i64; 4];
        for (place, field) in message.fields.iter().enumerate().take(4) {
            if let Some(seen) = last(place) {
                numbers[place] = integer(field.kind, seen.raw).map_err(fault)?;
            }
        }
        let number = match meaning {
            Meaning::Date => date(numbers[0], numbers[1], numbers[2]).ok_or("a date that is no day"),
            Meaning::Timestamp => timestamp(numbers[0], numbers[1]),
            _ => time(numbers),
        };
        out.json.integer(number.map_err(fault)?);
        Ok(())
    }
}

/// What a value of length has; nothing for others.
fn bytes(raw: Raw<'_>) -> &[u8] {
    if let Raw::Bytes(bytes) = raw { bytes } else { &[] }
}

/// An integer of 32 bits: with the bits above that its sign gives it, or without.
fn narrow(number: u64) -> std::result::Result<i64, &'static str> {
    let signed = number.cast_signed();
    match (i32::try_from(signed), u32::try_from(number)) {
        (Ok(_), _) => Ok(signed),
        (_, Ok(bits)) => Ok(i64::from(bits.cast_signed())),
        _ => Err("a protobuf number of more bits than its type has"),
    }
}

fn integer(kind: Kind, raw: Raw<'_>) -> std::result::Result<i64, &'static str> {
    const WIDE: &str = "a protobuf number of more bits than its type has";
    const LARGE: &str = "a number above 9223372036854775807, which no column of integers can hold";
    match (kind, raw) {
        (Kind::Int32, Raw::Varint(number)) => narrow(number),
        (Kind::Int64, Raw::Varint(number)) => Ok(number.cast_signed()),
        (Kind::Uint32, Raw::Varint(number)) => u32::try_from(number).map(i64::from).map_err(|_| WIDE),
        (Kind::Sint32, Raw::Varint(number)) => {
            let number = u32::try_from(number).map_err(|_| WIDE)?;
            Ok(i64::from((number >> 1).cast_signed() ^ -(number & 1).cast_signed()))
        }
        (Kind::Sint64, Raw::Varint(number)) => Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed()),
        (Kind::Fixed32, Raw::Four(bits)) => Ok(i64::from(bits)),
        (Kind::Sfixed32, Raw::Four(bits)) => Ok(i64::from(bits.cast_signed())),
        (Kind::Sfixed64, Raw::Eight(bits)) => Ok(bits.cast_signed()),
        (Kind::Uint64, Raw::Varint(number)) | (Kind::Fixed64, Raw::Eight(number)) => {
            i64::try_from(number).map_err(|_| LARGE)
        }
        _ => Err("a protobuf field of another type than the schema says"),
    }
}

/// A decimal: bytes of the scale that the schema says, or any scale with its bytes.
fn decimal(number: &[u8], given: i64, scale: Option<i32>, out: &mut Out<'_>) -> std::result::Result<(), &'static str> {
    let number = if number.is_empty() { &[0][..] } else { number };
    match scale {
        Some(scale) if i64::from(scale) == given => out.json.bytes(number),
        Some(_) => return Err("a decimal of another scale than its field says"),
        None => {
            out.json.begin_struct();
            out.json.field(&SCALE);
            out.json.integer(given);
            out.json.field(&VALUE);
            out.json.bytes(number);
            out.json.end_struct();
        }
    }
    Ok(())
}

/// Days since 1970-01-01.
fn date(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = |gregorian: bool| year % 4 == 0 && (!gregorian || year % 100 != 0 || year % 400 == 0);
    let length = |gregorian: bool| match month {
        2 => 28 + i64::from(leap(gregorian)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=YEAR_MAX).contains(&year) || !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    // Years begin in March here, so that a leap day is the last of its year.
    let (year_of, month_of) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let julian = 365 * year_of + year_of.div_euclid(4) + (153 * month_of + 2) / 5 + day - 719_471;
    let gregorian = julian - year_of.div_euclid(100) + year_of.div_euclid(400) + 2;
    if gregorian >= GREGORIAN_DAY {
        return (day <= length(true)).then_some(gregorian);
    }
    (day <= length(false) && julian < GREGORIAN_DAY).then_some(julian)
}

fn timestamp(seconds: i64, nanos: i64) -> std::result::Result<i64, &'static str> {
    let micros = seconds.checked_mul(1_000_000).and_then(|micros| micros.checked_add(whole(nanos)?));
    micros.ok_or("a timestamp beyond microseconds of 64 bits, or of nanoseconds, which no column can hold")
}

fn time([hours, minutes, seconds, nanos]: [i64; 4]) -> std::result::Result<i64, &'static str> {
    let sound = (0..=24).contains(&hours) && (0..60).contains(&minutes) && (0..60).contains(&seconds);
    let micros = whole(nanos).filter(|_| sound).ok_or("a time that is none, or of nanoseconds")?;
    Ok(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros)
}

/// Microseconds of nanoseconds of a second, if they are whole ones.
fn whole(nanos: i64) -> Option<i64> {
    ((0..1_000_000_000).contains(&nanos) && nanos % 1000 == 0).then_some(nanos / 1000)
}

static SCALE: crate::encode::connect::Field = crate::encode::connect::Field::fixed(0, b"\"scale\":", false);
static VALUE: crate::encode::connect::Field = crate::encode::connect::Field::fixed(1, b",\"value\":", false);
