//! The Protobuf schema of a Connect schema, as text: what ProtobufConverter registers, byte for byte.

use rustc_hash::FxHashSet;

use super::Options;
use super::logical::Logical;
use crate::encode::connect::{Kind, Member, Schema};
use crate::encode::scrub;

/// Confluent's `google/protobuf/wrappers.proto`: what a record is that is a single value.
const WRAPPERS: &str = include_str!("wrappers.proto");
const WRAPPERS_FILE: &str = "google/protobuf/wrappers.proto";
const NAMELESS: &str = "ConnectDefault";

/// Append the schema's text.
///
/// # Errors
/// When Protobuf does not allow a name of it, or cannot hold its values: which, in words.
pub fn write_schema(schema: &Schema, options: Options, out: &mut Vec<u8>) -> Result<(), String> {
    let Kind::Struct(members) = &schema.kind else {
        wrapper(&schema.kind)
            .ok_or("a record that is a list or a map of its own, which Protobuf has no message for")?;
        if Logical::of(schema).is_some() {
            return Err("a record that is a decimal, a date or a time of its own, which Confluent's converter writes \
                        under the schema of another message: leave it in a struct, or write it as another type"
                .into());
        }
        out.extend_from_slice(WRAPPERS.as_bytes());
        return Ok(());
    };
    let mut writer = Writer { options, imports: Vec::new(), nameless: 0, package: Vec::new() };
    let root = writer.root(schema);
    let name = root.last().cloned().unwrap_or_default();
    writer.package = root[..root.len() - 1].to_vec();
    let mut body = String::new();
    writer.message(&name, schema, members, 0, &mut body)?;
    let mut text = String::from("syntax = \"proto3\";\n");
    if !writer.package.is_empty() {
        text.push_str(&format!("package {};\n", writer.package.join(".")));
    }
    for (at, file) in writer.imports.iter().enumerate() {
        text.push_str(if at == 0 { "\nimport \"" } else { "import \"" });
        text.push_str(file);
        text.push_str("\";\n");
    }
    text.push('\n');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(body.as_bytes());
    Ok(())
}

/// The full name of the message that a record is.
#[must_use]
pub fn full_name(schema: &Schema, options: Options) -> String {
    match wrapper(&schema.kind) {
        Some((name, _)) => name.to_owned(),
        None => Writer { options, imports: Vec::new(), nameless: 0, package: Vec::new() }.root(schema).join("."),
    }
}

/// Append which of the messages of its schema a record is: nothing but a zero for the first one, else how deep it lies,
/// which is one, and its place, both as Kafka writes a varint.
pub fn write_index(schema: &Schema, out: &mut Vec<u8>) {
    match wrapper(&schema.kind) {
        None | Some((_, 0)) => out.push(0),
        Some((_, place)) => out.extend_from_slice(&[1 << 1, place << 1]),
    }
}

/// The wrapper of a scalar type, and its place among [`WRAPPERS`].
fn wrapper(kind: &Kind) -> Option<(&'static str, u8)> {
    Some(match kind {
        Kind::Float64 => ("google.protobuf.DoubleValue", 0),
        Kind::Float32 => ("google.protobuf.FloatValue", 1),
        Kind::Int64 => ("google.protobuf.Int64Value", 2),
        Kind::Int8 | Kind::Int16 | Kind::Int32 => ("google.protobuf.Int32Value", 4),
        Kind::Boolean => ("google.protobuf.BoolValue", 6),
        Kind::String => ("google.protobuf.StringValue", 7),
        Kind::Bytes => ("google.protobuf.BytesValue", 8),
        Kind::Array(_) | Kind::Map(_) | Kind::Struct(_) => return None,
    })
}

/// A schema in the making.
struct Writer {
    options: Options,
    imports: Vec<&'static str>,
    /// Structs and maps without a name so far.
    nameless: usize,
    package: Vec<String>,
}

/// A message in the making: what its fields and the messages in it are called, and the structs that it has messages for.
struct Scope<'a> {
    name: &'a str,
    schema: &'a Schema,
    symbols: FxHashSet<String>,
    structs: Vec<(String, &'a Schema)>,
    nested: String,
    depth: usize,
}

impl Writer {
    /// The parts of the full name of a struct that is a record.
    fn root(&mut self, schema: &Schema) -> Vec<String> {
        self.named(schema).split('.').map(|part| self.scrubbed(part)).collect()
    }

    /// The name of a struct or a map, or the next one for what has none.
    fn named(&mut self, schema: &Schema) -> String {
        match schema.name.as_deref() {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => {
                self.nameless += 1;
                format!("{NAMELESS}{}", self.nameless)
            }
        }
    }

    /// The last part of that.
    fn unqualified(&mut self, schema: &Schema) -> String {
        let name = self.named(schema);
        self.scrubbed(name.rsplit('.').next().unwrap_or_default())
    }

    fn scrubbed(&self, name: &str) -> String {
        if !self.options.scrub {
            return name.to_owned();
        }
        scrub::scrubbed(name, |first| first.is_ascii_digit() || first == '_')
    }

    /// Append a message of such members, `depth` messages deep.
    fn message(
        &mut self,
        name: &str,
        schema: &Schema,
        members: &[Member],
        depth: usize,
        out: &mut String,
    ) -> Result<(), String> {
        let (symbols, structs, nested) = (FxHashSet::default(), Vec::new(), String::new());
        let mut scope = Scope { name, schema, symbols, structs, nested, depth };
        let mut fields = String::new();
        for (number, member) in (1..).zip(members) {
            let name = self.scrubbed(&member.name);
            self.field(&mut scope, &name, number, &member.schema, &mut fields)?;
        }
        scope.write(&fields, out)
    }

    /// Append the message of a map's entries.
    fn entries(
        &mut self,
        name: &str,
        schema: &Schema,
        types: &(Schema, Schema),
        depth: usize,
        out: &mut String,
    ) -> Result<(), String> {
        let (symbols, structs, nested) = (FxHashSet::default(), Vec::new(), String::new());
        let mut scope = Scope { name, schema, symbols, structs, nested, depth };
        let mut fields = String::new();
        for (number, name, schema) in [(1, "key", &types.0), (2, "value", &types.1)] {
            let (label, element) = label(schema);
            let kind = self.kind(&mut scope, name, element)?;
            scope.declare(name)?;
            fields.push_str(&format!("{:1$}{label}{kind} {name} = {number};\n", "", 2 * depth + 2));
        }
        scope.write(&fields, out)
    }

    /// Append a field, and what it needs to the message that it is in.
    fn field<'a>(
        &mut self,
        scope: &mut Scope<'a>,
        name: &str,
        number: usize,
        schema: &'a Schema,
        out: &mut String,
    ) -> Result<(), String> {
        let (mut label, element) = label(schema);
        let mut options = Vec::new();
        if label.is_empty() && self.options.optional && schema.optional {
            label = "optional ";
            options.push("deprecated = false".to_owned());
        }
        let kind = self.kind(scope, name, element)?;
        scope.declare(name)?;
        options.extend(meta(element));
        let indent = "  ".repeat(scope.depth + 1);
        out.push_str(&format!("{indent}{label}{kind} {name} = {number}"));
        match &options[..] {
            [] => {}
            [option] => out.push_str(&format!(" [{}]", option.replace('\n', &format!("\n{indent}")))),
            options => {
                let inner = format!("\n{indent}  ");
                let options: Vec<String> = options.iter().map(|option| option.replace('\n', &inner)).collect();
                out.push_str(&format!(" [{inner}{}\n{indent}]", options.join(&format!(",{inner}"))));
            }
        }
        out.push_str(";\n");
        Ok(())
    }

    /// A field's type. What it needs is added to the message that it is in.
    fn kind<'a>(&mut self, scope: &mut Scope<'a>, field: &str, schema: &'a Schema) -> Result<String, String> {
        if let Some(logical) = Logical::of(schema) {
            let (message, file) = logical.message();
            return self.import(message, file);
        }
        let scalar = match &schema.kind {
            Kind::Boolean => "bool",
            Kind::Int8 | Kind::Int16 | Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Float32 => "float",
            Kind::Float64 => "double",
            Kind::String => "string",
            Kind::Bytes => "bytes",
            Kind::Array(_) => {
                return Err(format!(
                    "field {field:?}: a list of lists, which Protobuf does not have: column_exclude_list leaves it out"
                ));
            }
            Kind::Map(types) => {
                let name = entry(&self.unqualified(schema));
                scope.declare(&name)?;
                let mut nested = std::mem::take(&mut scope.nested);
                self.entries(&name, schema, types, scope.depth + 1, &mut nested)?;
                scope.nested = nested;
                return Ok(name);
            }
            Kind::Struct(members) => return self.structure(scope, field, schema, members),
        };
        match wrapper(&schema.kind) {
            Some((wrapper, _)) if self.options.wrapper && schema.optional => self.import(wrapper, WRAPPERS_FILE),
            _ => Ok(scalar.to_owned()),
        }
    }

    /// The name of the message for a struct, which is added where there is none of that name.
    fn structure<'a>(
        &mut self,
        scope: &mut Scope<'a>,
        field: &str,
        schema: &'a Schema,
        members: &'a [Member],
    ) -> Result<String, String> {
        let mut name = self.unqualified(schema);
        if name == field {
            name.push_str("Message");
        }
        let own = (scope.name == name).then_some(scope.schema);
        let known = scope.structs.iter().find_map(|(known, schema)| (*known == name).then_some(*schema));
        match own.or(known) {
            Some(known) if known.kind == schema.kind => return Ok(name),
            Some(_) => return Err(format!("two structs of the name {name:?} have different members")),
            None => {}
        }
        scope.declare(&name)?;
        scope.structs.push((name.clone(), schema));
        let mut nested = std::mem::take(&mut scope.nested);
        self.message(&name, schema, members, scope.depth + 1, &mut nested)?;
        scope.nested = nested;
        Ok(name)
    }

    /// The name of a message of another file, which no part of the package may hide.
    fn import(&mut self, message: &str, file: &'static str) -> Result<String, String> {
        let first = message.split('.').next().unwrap_or_default();
        if self.package.iter().skip(1).any(|part| part == first) {
            return Err(format!("in package {} no schema can name {message}: call it another", self.package.join(".")));
        }
        if !self.imports.contains(&file) {
            self.imports.push(file);
        }
        Ok(message.to_owned())
    }
}

impl Scope<'_> {
    /// Take a name for a field or a message.
    fn declare(&mut self, name: &str) -> Result<(), String> {
        let mut letters = name.chars();
        let sound = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !sound {
            return Err(format!(
                "{name:?} is no name that Protobuf allows: scrub_invalid_names = true makes one of it"
            ));
        }
        if self.symbols.insert(name.to_owned()) {
            Ok(())
        } else {
            Err(format!("{name:?} is twice the name of something in message {}: rename one", self.name))
        }
    }

    /// Append the message with its fields.
    fn write(self, fields: &str, out: &mut String) -> Result<(), String> {
        let indent = "  ".repeat(self.depth);
        out.push_str(&format!("{indent}message {} {{", self.name));
        if !fields.is_empty() {
            out.push('\n');
            out.push_str(fields);
        }
        if !self.nested.is_empty() {
            out.push_str(&indent);
            out.push('\n');
            out.push_str(&self.nested);
        }
        out.push_str(&format!("{}}}\n", if fields.is_empty() { "" } else { &indent }));
        Ok(())
    }
}

/// A field's label, and the schema of one of its values.
fn label(schema: &Schema) -> (&'static str, &Schema) {
    match &schema.kind {
        Kind::Array(element) => ("repeated ", element),
        Kind::Map(_) => ("repeated ", schema),
        _ => ("", schema),
    }
}

/// What Connect knows of a value beyond its type, as an option of its field. The oldest two names stand behind their
/// values.
fn meta(schema: &Schema) -> Option<String> {
    let known = |theirs: &str| schema.parameters.iter().find(|(name, _)| name == theirs).map(|(_, value)| &**value);
    let parameters = match (Logical::of(schema), &schema.kind) {
        (Some(Logical::Decimal), _) => [("precision", known("connect.decimal.precision")), ("scale", known("scale"))],
        (None, Kind::Int8) => [("connect.type", Some("int8")), ("", None)],
        (None, Kind::Int16) => [("connect.type", Some("int16")), ("", None)],
        _ => return None,
    };
    let pair = |(name, value): (&str, Option<&str>)| {
        let mut lines = [format!("key: \"{name}\""), format!("value: \"{}\"", value?)];
        if name != "connect.type" {
            lines.reverse();
        }
        Some(format!("    {{\n      {}\n    }}", lines.join(",\n      ")))
    };
    let pairs: Vec<String> = parameters.into_iter().filter_map(pair).collect();
    (!pairs.is_empty()).then(|| format!("(confluent.field_meta) = {{\n  params: [\n{}\n  ]\n}}", pairs.join(",\n")))
}

/// The name of the message for a map's entries.
fn entry(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    };
    let name = if name.contains('_') { name.split('_').map(word).collect() } else { name.to_owned() };
    name + "Entry"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(schema: &Schema, options: Options) -> Result<String, String> {
        let mut out = Vec::new();
        write_schema(schema, options, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    fn named(name: &str, members: impl IntoIterator<Item = (&'static str, Schema)>) -> Schema {
        Schema { name: Some(name.to_owned().into()), ..Schema::structure(members) }
    }

    #[test]
    fn messages_stand_in_the_message_that_has_them_once() {
        let inner = || named("a.b.Inner", [("x", Schema::new(Kind::Int64))]).optional();
        let map = Schema::new(Kind::Map(Box::new((Schema::new(Kind::String), Schema::new(Kind::Int16)))));
        let schema = named("a.b.Outer", [("one", inner()), ("two", inner()), ("m", map)]);
        let expected = [
            "syntax = \"proto3\";\npackage a.b;\n\nmessage Outer {\n",
            "  Inner one = 1;\n  Inner two = 2;\n  repeated ConnectDefault1Entry m = 3;\n\n",
            "  message Inner {\n    int64 x = 1;\n  }\n",
            "  message ConnectDefault1Entry {\n    string key = 1;\n    int32 value = 2;\n  }\n}\n",
        ];
        assert_eq!(text(&schema, Options::DEFAULT).unwrap(), expected.concat());
        let same = named("a.b.Outer", [("Inner", inner())]);
        let expected =
            "message Outer {\n  InnerMessage Inner = 1;\n\n  message InnerMessage {\n    int64 x = 1;\n  }\n}\n";
        assert!(text(&same, Options::DEFAULT).unwrap().ends_with(expected));
        let twice = named("a.b.Outer", [("Inner", inner()), ("two", inner())]);
        assert!(text(&twice, Options::DEFAULT).unwrap_err().contains("\"Inner\" is twice the name"));
        let other = named("a.b.Inner", [("y", Schema::new(Kind::Int64))]);
        let differ = named("a.b.Outer", [("one", inner()), ("two", other)]);
        assert!(text(&differ, Options::DEFAULT).unwrap_err().contains("two structs of the name \"Inner\""));
    }

    #[test]
    fn names_are_scrubbed_or_refused() {
        let schema = named("my-shop.2.Key", [("_a b", Schema::new(Kind::Int32))]);
        let scrubbed = Options { scrub: true, ..Options::DEFAULT };
        let made = text(&schema, scrubbed).unwrap();
        assert_eq!(made, "syntax = \"proto3\";\npackage my_shop.x2;\n\nmessage Key {\n  int32 x_a_b = 1;\n}\n");
        assert_eq!(full_name(&schema, scrubbed), "my_shop.x2.Key");
        assert!(text(&schema, Options::DEFAULT).unwrap_err().contains("\"_a b\" is no name"));
        let same = named("a.Key", [("a b", Schema::new(Kind::Int32)), ("a-b", Schema::new(Kind::Int32))]);
        assert!(text(&same, scrubbed).unwrap_err().contains("\"a_b\" is twice the name"));
    }

    #[test]
    fn a_package_must_not_hide_what_a_schema_names() {
        let decimal = || Schema::named(Kind::Bytes, "org.apache.kafka.connect.data.Decimal").with("scale", "2");
        let made = |name: &str| text(&named(name, [("n", decimal())]), Options::DEFAULT);
        assert!(made("shop.confluent.t.Value").unwrap_err().contains("no schema can name confluent.type.Decimal"));
        assert!(made("confluent.public.t.Value").is_ok() && made("shop.google.t.Value").is_ok());
    }

    #[test]
    fn a_value_of_its_own_is_a_wrapper_and_says_which() {
        for (kind, index, name) in [
            (Kind::Float64, vec![0], "DoubleValue"),
            (Kind::Int16, vec![2, 8], "Int32Value"),
            (Kind::Bytes, vec![2, 16], "BytesValue"),
        ] {
            let schema = Schema::new(kind);
            let mut out = Vec::new();
            write_index(&schema, &mut out);
            assert_eq!(out, index);
            assert_eq!(text(&schema, Options::DEFAULT).unwrap(), WRAPPERS);
            assert_eq!(full_name(&schema, Options::DEFAULT), format!("google.protobuf.{name}"));
        }
        let nameless = Schema::structure([("a", Schema::new(Kind::Int32))]);
        assert!(text(&nameless, Options::DEFAULT).unwrap().contains("\nmessage ConnectDefault1 {\n"));
        let list = Schema::array(nameless);
        assert!(text(&list, Options::DEFAULT).unwrap_err().contains("a list or a map of its own"));
        let date = Schema::named(Kind::Int32, "org.apache.kafka.connect.data.Date");
        assert!(text(&date, Options::DEFAULT).unwrap_err().contains("a decimal, a date or a time of its own"));
    }

    #[test]
    fn names_of_entries_are_in_camel_case_where_they_have_underscores() {
        assert_eq!([entry("some_mapNAME"), entry("Other")], ["SomeMapnameEntry", "OtherEntry"]);
    }
}
