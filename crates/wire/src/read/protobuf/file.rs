//! A `.proto` text as it stands there: messages, enums and their members, names not yet looked up. What says nothing of
//! how bytes are read (options of other kinds, services, extensions of options) is passed over; what does and is not
//! known is an error.

use super::descriptor;
use super::token::{Token, Tokens};
use crate::error::{Error, Result};

/// Levels of messages in messages, and of options in options.
const DEPTH_MAX: usize = 64;
/// Highest number of a field.
pub(super) const NUMBER_MAX: u64 = (1 << 29) - 1;

/// A text.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) proto3: bool,
    pub(super) package: String,
    pub(super) imports: Vec<String>,
    pub(super) scope: Scope,
}

/// What is defined in a file or in a message.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) messages: Vec<Message>,
    pub(super) enums: Vec<Enum>,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    pub(super) oneofs: usize,
    pub(super) scope: Scope,
}

#[derive(Debug)]
pub(super) struct Enum {
    pub(super) name: String,
    pub(super) values: Vec<(String, i32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    None,
    Optional,
    Required,
    Repeated,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) label: Label,
    /// Its type, or that of a map's values.
    pub(super) kind: String,
    /// The type of a map's keys.
    pub(super) keys: Option<String>,
    pub(super) oneof: Option<usize>,
    /// What Confluent's `field_meta` says.
    pub(super) meta: Vec<(String, String)>,
    pub(super) line: usize,
}

/// The value of an option.
enum Constant {
    Text(String),
    Message(Vec<(String, Constant)>),
    List(Vec<Constant>),
    Other,
}

impl File {
    /// A text, or a descriptor in base64, which no text looks like.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        if !text.is_empty() && text.bytes().all(base64) {
            return descriptor::parse(text.as_bytes());
        }
        let mut tokens = Tokens::new(text)?;
        let mut file = Self::default();
        loop {
            if *tokens.peek() == Token::End {
                return Ok(file);
            }
            file.statement(&mut tokens)?;
        }
    }

    fn statement(&mut self, tokens: &mut Tokens<'_>) -> Result<()> {
        if tokens.pass(b';')? {
            return Ok(());
        }
        let Token::Name(word) = *tokens.peek() else {
            return Err(tokens.fault("not a .proto text: no statement where one belongs"));
        };
        match word {
            "syntax" => {
                tokens.take()?;
                tokens.expect(b'=')?;
                self.proto3 = match tokens.string()?.as_str() {
                    "proto2" => false,
                    "proto3" => true,
                    _ => return Err(tokens.fault("a syntax that is neither proto2 nor proto3")),
                };
                tokens.expect(b';')
            }
            "edition" => Err(tokens.fault("an edition: only proto2 and proto3 are read")),
            "package" => {
                tokens.take()?;
                self.package = tokens.package()?;
                tokens.expect(b';')
            }
            "import" => {
                tokens.take()?;
                if !tokens.word("public")? {
                    tokens.word("weak")?;
                }
                self.imports.push(tokens.string()?);
                tokens.expect(b';')
            }
            "option" => option(tokens),
            "message" | "enum" => self.scope.define(tokens, DEPTH_MAX),
            // Of a field that an extension adds to a message the bytes are an error where they come.
            "extend" | "service" => tokens.skip_block(),
            _ => Err(tokens.fault("a statement that is not known")),
        }
    }
}

impl Scope {
    /// Read the message or the enum that comes next.
    fn define(&mut self, tokens: &mut Tokens<'_>, depth: usize) -> Result<()> {
        if tokens.word("enum")? {
            self.enums.push(enumeration(tokens)?);
        } else {
            tokens.take()?;
            self.messages.push(Message::read(tokens, depth)?);
        }
        Ok(())
    }
}

impl Message {
    /// Behind `message`.
    fn read(tokens: &mut Tokens<'_>, depth: usize) -> Result<Self> {
        let depth = depth.checked_sub(1).ok_or_else(|| tokens.fault("messages that are nested too deeply"))?;
        let name = tokens.name()?.to_owned();
        let mut message = Self { name, fields: Vec::new(), oneofs: 0, scope: Scope::default() };
        tokens.expect(b'{')?;
        while !tokens.pass(b'}')? {
            message.member(tokens, depth)?;
        }
        Ok(message)
    }

    fn member(&mut self, tokens: &mut Tokens<'_>, depth: usize) -> Result<()> {
        if tokens.pass(b';')? {
            return Ok(());
        }
        match tokens.peek() {
            Token::Name("message" | "enum") => return self.scope.define(tokens, depth),
            Token::Name("extend") => return tokens.skip_block(),
            Token::Name("option") => return option(tokens),
            Token::Name("reserved" | "extensions") => return tokens.skip_statement(),
            Token::Name("oneof") => return self.oneof(tokens),
            Token::End => return Err(tokens.fault("a message without an end")),
            _ => {}
        }
        let label = if tokens.word("optional")? {
            Label::Optional
        } else if tokens.word("required")? {
            Label::Required
        } else if tokens.word("repeated")? {
            Label::Repeated
        } else {
            Label::None
        };
        let field = Field::read(tokens, label, None)?;
        self.fields.push(field);
        Ok(())
    }

    fn oneof(&mut self, tokens: &mut Tokens<'_>) -> Result<()> {
        tokens.take()?;
        tokens.name()?;
        tokens.expect(b'{')?;
        while !tokens.pass(b'}')? {
            if tokens.pass(b';')? {
                continue;
            }
            if *tokens.peek() == Token::Name("option") {
                option(tokens)?;
                continue;
            }
            let field = Field::read(tokens, Label::None, Some(self.oneofs))?;
            self.fields.push(field);
        }
        self.oneofs += 1;
        Ok(())
    }
}

impl Field {
    /// Behind its label.
    fn read(tokens: &mut Tokens<'_>, label: Label, oneof: Option<usize>) -> Result<Self> {
        let line = tokens.line();
        let mut kind = tokens.path()?;
        let mut keys = None;
        if kind == "group" {
            return Err(tokens.fault("a group: these are not read"));
        }
        if kind == "map" && tokens.pass(b'<')? {
            if label != Label::None || oneof.is_some() {
                return Err(tokens.fault("a map with a label or in a oneof"));
            }
            keys = Some(tokens.path()?);
            tokens.expect(b',')?;
            kind = tokens.path()?;
            tokens.expect(b'>')?;
        }
        let name = tokens.name()?.to_owned();
        tokens.expect(b'=')?;
        let number = u64::try_from(tokens.integer()?).ok().filter(|number| (1..=NUMBER_MAX).contains(number));
        let number = number.and_then(|number| u32::try_from(number).ok());
        let number = number.ok_or_else(|| tokens.fault("a number that no field can have"))?;
        let meta = options(tokens)?;
        tokens.expect(b';')?;
        Ok(Self { name, number, label, kind, keys, oneof, meta, line })
    }
}

/// Behind `enum`.
fn enumeration(tokens: &mut Tokens<'_>) -> Result<Enum> {
    let name = tokens.name()?.to_owned();
    let mut values = Vec::new();
    tokens.expect(b'{')?;
    while !tokens.pass(b'}')? {
        if tokens.pass(b';')? {
            continue;
        }
        match tokens.peek() {
            Token::Name("option") => {
                option(tokens)?;
                continue;
            }
            Token::Name("reserved") => {
                tokens.skip_statement()?;
                continue;
            }
            _ => {}
        }
        let value = tokens.name()?.to_owned();
        tokens.expect(b'=')?;
        let number = i32::try_from(tokens.integer()?).map_err(|_| tokens.fault("a number that no enum can have"))?;
        values.push((value, number));
        options(tokens)?;
        tokens.expect(b';')?;
    }
    if values.is_empty() {
        return Err(tokens.fault("an enum without values"));
    }
    Ok(Enum { name, values })
}

/// The options in square brackets, if there are any: what Confluent's `field_meta` says.
fn options(tokens: &mut Tokens<'_>) -> Result<Vec<(String, String)>> {
    let mut meta = Vec::new();
    if !tokens.pass(b'[')? {
        return Ok(meta);
    }
    loop {
        let name = option_name(tokens)?;
        tokens.expect(b'=')?;
        told(&name, &constant(tokens, DEPTH_MAX)?, &mut meta);
        if !tokens.pass(b',')? {
            break;
        }
    }
    tokens.expect(b']')?;
    Ok(meta)
}

/// Pass over a statement `option … ;`.
fn option(tokens: &mut Tokens<'_>) -> Result<()> {
    tokens.take()?;
    let name = option_name(tokens)?;
    if name == "message_set_wire_format" {
        return Err(tokens.fault("message_set_wire_format: such messages are not read"));
    }
    tokens.expect(b'=')?;
    constant(tokens, DEPTH_MAX)?;
    tokens.expect(b';')
}

/// The name of an option, brackets left out: `confluent.field_meta.params` of `(confluent.field_meta).params`.
fn option_name(tokens: &mut Tokens<'_>) -> Result<String> {
    let mut name = String::new();
    loop {
        if tokens.pass(b'(')? {
            name.push_str(tokens.path()?.trim_start_matches('.'));
            tokens.expect(b')')?;
        } else {
            name.push_str(tokens.name()?);
        }
        if !tokens.pass(b'.')? {
            return Ok(name);
        }
        name.push('.');
    }
}

fn constant(tokens: &mut Tokens<'_>, depth: usize) -> Result<Constant> {
    let depth = depth.checked_sub(1).ok_or_else(|| tokens.fault("options that are nested too deeply"))?;
    match tokens.peek() {
        Token::Text(_) => Ok(String::from_utf8(tokens.bytes()?).map_or(Constant::Other, Constant::Text)),
        Token::Sign(b'{' | b'<') => aggregate(tokens, depth),
        Token::Sign(b'[') => {
            tokens.take()?;
            let mut list = Vec::new();
            while !tokens.pass(b']')? {
                list.push(constant(tokens, depth)?);
                tokens.pass(b',')?;
            }
            Ok(Constant::List(list))
        }
        Token::Sign(b'-' | b'+') => {
            tokens.take()?;
            constant(tokens, depth)
        }
        Token::Name(_) => {
            tokens.path()?;
            Ok(Constant::Other)
        }
        Token::Number(_) => {
            tokens.take()?;
            Ok(Constant::Other)
        }
        Token::Sign(b'.') => {
            tokens.take()?;
            constant(tokens, depth)
        }
        _ => Err(tokens.fault("an option without a value")),
    }
}

/// Protobuf's text format in braces.
fn aggregate(tokens: &mut Tokens<'_>, depth: usize) -> Result<Constant> {
    let close = if tokens.take()? == Token::Sign(b'<') { b'>' } else { b'}' };
    let mut members = Vec::new();
    while !tokens.pass(close)? {
        let name = if tokens.pass(b'[')? {
            while !tokens.pass(b']')? {
                if tokens.take()? == Token::End {
                    return Err(tokens.fault("an option without an end"));
                }
            }
            String::new()
        } else {
            tokens.name()?.to_owned()
        };
        tokens.pass(b':')?;
        members.push((name, constant(tokens, depth)?));
        if !tokens.pass(b',')? {
            tokens.pass(b';')?;
        }
    }
    Ok(Constant::Message(members))
}

/// Take what an option says of Confluent's `field_meta`: its `params`.
fn told(name: &str, value: &Constant, meta: &mut Vec<(String, String)>) {
    const META: &str = "confluent.field_meta";
    match (name.strip_prefix(META), value) {
        (Some(""), Constant::Message(members)) => {
            members.iter().filter(|(name, _)| name == "params").for_each(|(_, value)| parameters(value, meta));
        }
        (Some(".params"), value) => parameters(value, meta),
        _ => {}
    }
}

fn parameters(value: &Constant, meta: &mut Vec<(String, String)>) {
    match value {
        Constant::List(entries) => entries.iter().for_each(|entry| parameters(entry, meta)),
        Constant::Message(members) => {
            let part = |name: &str| members.iter().find(|(known, _)| known == name);
            if let (Some((_, Constant::Text(key))), Some((_, Constant::Text(value)))) = (part("key"), part("value")) {
                meta.push((key.clone(), value.clone()));
            }
        }
        _ => {}
    }
}

/// A fault at a line; 0 when it is of no use to name one.
pub(super) fn refused(line: usize, what: &str) -> Error {
    let what = if line == 0 { what.to_owned() } else { format!("line {line}: {what}") };
    Error::malformed(what, 0)
}
