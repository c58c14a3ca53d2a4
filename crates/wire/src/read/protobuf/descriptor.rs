//! A `.proto` file as protobuf's compilers pass it on, a `FileDescriptorProto` in base64: what clients other than Java's
//! register, and what some registries then give out as it is. Becomes what `file` reads from a text.

use rustc_hash::FxHashMap;

use super::file::{Enum, Field, File, Label, Message, NUMBER_MAX, Scope};
use super::wire::{Raw, cursor};
use crate::error::{Error, Result};
use crate::read::base64;

const DEPTH_MAX: usize = 64;
/// Types by their numbers; 10 is a group, 11 a message and 14 an enum.
const TYPES: [&str; 19] = [
    "", "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "", "", "bytes",
    "uint32", "", "sfixed32", "sfixed64", "sint32", "sint64",
];
const GROUP: u64 = 10;

/// The fields of a message's maps' entries, by their names.
type Entries = FxHashMap<String, Vec<Field>>;

/// The fields of a message by number, whatever they mean.
struct Parts<'a> {
    found: Vec<(u64, Raw<'a>)>,
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut cursor = cursor(bytes, 0);
        let mut found = Vec::new();
        while !cursor.is_done() {
            let tag = cursor.varint()?;
            found.push((tag >> 3, cursor.value(tag & 7)?));
        }
        Ok(Self { found })
    }

    /// What came of a field with a length, in order.
    fn all(&self, number: u64) -> impl Iterator<Item = &'a [u8]> {
        self.found.iter().filter_map(move |found| match found {
            (known, Raw::Bytes(bytes)) if *known == number => Some(*bytes),
            _ => None,
        })
    }

    fn text(&self, number: u64) -> Result<String> {
        let bytes = self.all(number).last().unwrap_or_default();
        String::from_utf8(bytes.to_vec()).map_err(|_| refused("a descriptor with a name that is not UTF-8"))
    }

    fn texts(&self, number: u64) -> Result<Vec<String>> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
        self.all(number)
            .map(text)
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| refused("a name that is not UTF-8"))
    }

    fn number(&self, number: u64) -> Option<u64> {
        let last = self.found.iter().rev().find(|(known, _)| *known == number);
        last.and_then(|(_, raw)| if let Raw::Varint(value) = raw { Some(*value) } else { None })
    }
}

/// The file of a descriptor in base64.
pub(super) fn parse(text: &[u8]) -> Result<File> {
    let mut bytes = Vec::new();
    base64::decode(text, &mut bytes).ok_or_else(|| refused("neither a .proto text nor a descriptor in base64"))?;
    let file = Parts::read(&bytes)?;
    let proto3 = match file.text(12)?.as_str() {
        "" | "proto2" => false,
        "proto3" => true,
        _ => return Err(refused("a descriptor of an edition: only proto2 and proto3 are read")),
    };
    let scope = scope(&file, (4, 5), proto3, DEPTH_MAX)?.0;
    Ok(File { proto3, package: file.text(2)?, imports: file.texts(3)?, scope })
}

/// The messages and enums in a file or a message, and those messages that are entries of maps.
fn scope(around: &Parts<'_>, (messages, enums): (u64, u64), proto3: bool, depth: usize) -> Result<(Scope, Entries)> {
    let depth = depth.checked_sub(1).ok_or_else(|| refused("messages that are nested too deeply"))?;
    let (mut found, mut maps) = (Scope::default(), Entries::default());
    for bytes in around.all(messages) {
        let parts = Parts::read(bytes)?;
        let options = parts.all(7).last().map(Parts::read).transpose()?;
        let entry = options.as_ref().and_then(|options| options.number(7)) == Some(1);
        if options.as_ref().and_then(|options| options.number(1)) == Some(1) {
            return Err(refused("message_set_wire_format: such messages are not read"));
        }
        let message = message(&parts, proto3, depth)?;
        if entry {
            maps.insert(message.name, message.fields);
        } else {
            found.messages.push(message);
        }
    }
    for bytes in around.all(enums) {
        let parts = Parts::read(bytes)?;
        let mut values = Vec::new();
        for value in parts.all(2) {
            let value = Parts::read(value)?;
            values.push((value.text(1)?, value.number(2).unwrap_or(0) as i32));
        }
        if values.is_empty() {
            return Err(refused("an enum without values"));
        }
        found.enums.push(Enum { name: parts.text(1)?, values });
    }
    Ok((found, maps))
}

fn message(parts: &Parts<'_>, proto3: bool, depth: usize) -> Result<Message> {
    let (scope, maps) = scope(parts, (3, 4), proto3, depth)?;
    let mut fields = Vec::new();
    for bytes in parts.all(2) {
        fields.push(field(&Parts::read(bytes)?, &maps, proto3)?);
    }
    let oneofs = parts.all(8).count();
    if fields.iter().filter_map(|field| field.oneof).any(|oneof| oneof >= oneofs) {
        return Err(refused("a message with a oneof that it does not declare"));
    }
    Ok(Message { name: parts.text(1)?, fields, oneofs, scope })
}

fn field(parts: &Parts<'_>, maps: &Entries, proto3: bool) -> Result<Field> {
    let name = parts.text(1)?;
    let number = parts.number(3).filter(|number| (1..=NUMBER_MAX).contains(number));
    let number = number.and_then(|number| u32::try_from(number).ok());
    let number = number.ok_or_else(|| refused("a number that no field can have"))?;
    let kind = parts.number(5).unwrap_or(0);
    if kind == GROUP {
        return Err(refused("a group: these are not read"));
    }
    let simple = usize::try_from(kind).ok().and_then(|kind| TYPES.get(kind)).filter(|name| !name.is_empty());
    let named = parts.text(6)?;
    let oneof = parts.number(9).and_then(|oneof| usize::try_from(oneof).ok());
    let chosen = parts.number(17) == Some(1);
    let label = match parts.number(4) {
        Some(3) => Label::Repeated,
        Some(2) => Label::Required,
        // In proto3 the label stands for none; one that is written has a oneof of its own.
        _ if chosen || (!proto3 && oneof.is_none()) => Label::Optional,
        _ => Label::None,
    };
    let meta = match parts.all(8).last() {
        Some(options) => meta(&Parts::read(options)?)?,
        None => Vec::new(),
    };
    let kind = simple.map_or_else(|| named.clone(), |name| (*name).to_owned());
    let made = Field { name, number, label, kind, keys: None, oneof: oneof.filter(|_| !chosen), meta, line: 0 };
    // The full name of an entry's type ends in that of the message.
    let entry = named.rsplit('.').next().filter(|_| simple.is_none()).and_then(|name| maps.get(name));
    match entry.map(Vec::as_slice) {
        Some([key, value]) => {
            Ok(Field { keys: Some(key.kind.clone()), kind: value.kind.clone(), label: Label::None, ..made })
        }
        _ => Ok(made),
    }
}

/// The `params` of Confluent's `field_meta`, number 1088.
fn meta(options: &Parts<'_>) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for meta in options.all(1088) {
        for entry in Parts::read(meta)?.all(2) {
            let entry = Parts::read(entry)?;
            found.push((entry.text(1)?, entry.text(2)?));
        }
    }
    Ok(found)
}

fn refused(what: &str) -> Error {
    Error::malformed(what, 0)
}
