//! JSON as Kafka's JsonConverter and Jackson write it: values, and the schemas that `schemas.enable` puts before them.

use super::format::{Field, Format, Written};
use super::schema::{Kind, Schema};
use crate::encode::java::{self, Float};
use crate::encode::json;

/// Appends JSON to a buffer.
#[derive(Debug)]
pub struct Json<'a> {
    out: &'a mut Vec<u8>,
    /// Whether no schema goes with the values.
    bare: bool,
    /// Whether entries of maps whose keys are no text are objects, as Confluent's converter has it, and no pairs.
    entries: bool,
    /// For each open map, whether its keys are text.
    maps: u64,
}

impl<'a> Json<'a> {
    /// Append to `out`; `bare` when no schema goes with the values.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, bare: bool) -> Self {
        Self { out, bare, entries: false, maps: 0 }
    }

    /// Append to `out` as Confluent's JsonSchemaConverter does.
    #[inline]
    pub fn entries(out: &'a mut Vec<u8>) -> Self {
        Self { out, bare: false, entries: true, maps: 0 }
    }

    /// Bytes in the buffer, those that stood there before included.
    #[inline]
    pub fn nbytes(&self) -> usize {
        self.out.len()
    }

    /// The end of an entry of a map whose keys are no text.
    fn close_entry(&mut self) {
        self.out.push(if self.entries { b'}' } else { b']' });
    }
}

impl Format for Json<'_> {
    #[inline]
    fn nests(&self) -> bool {
        self.bare
    }

    #[inline]
    fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    #[inline]
    fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    #[inline]
    fn integer(&mut self, value: i64) {
        json::integer(value, self.out);
    }

    fn single(&mut self, value: f32) {
        java::single(value, self.out);
    }

    fn double(&mut self, value: f64) {
        java::double(value, self.out);
    }

    #[inline]
    fn string(&mut self, text: &[u8]) -> Written {
        json::string(text, self.out).ok_or("not UTF-8")
    }

    #[inline]
    fn compose(&mut self, compose: impl FnOnce(&mut Vec<u8>) -> Written) -> Written {
        self.out.push(b'"');
        compose(self.out)?;
        self.out.push(b'"');
        Ok(())
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        json::base64(bytes, self.out);
        self.out.push(b'"');
    }

    #[inline]
    fn begin_struct(&mut self) {
        self.out.push(b'{');
    }

    #[inline]
    fn field(&mut self, field: &Field) {
        self.out.extend_from_slice(&field.json);
    }

    #[inline]
    fn end_struct(&mut self) {
        self.out.push(b'}');
    }

    #[inline]
    fn begin_list(&mut self) {
        self.out.push(b'[');
    }

    #[inline]
    fn element(&mut self, first: bool, _: bool) {
        if !first {
            self.out.push(b',');
        }
    }

    #[inline]
    fn end_list(&mut self, _: usize) {
        self.out.push(b']');
    }

    fn begin_map(&mut self, named: bool) {
        self.maps = self.maps << 1 | u64::from(named);
        self.out.push(if named { b'{' } else { b'[' });
    }

    fn key(&mut self, first: bool) {
        if !first {
            if self.maps & 1 == 0 {
                self.close_entry();
            }
            self.out.push(b',');
        }
        if self.maps & 1 == 0 {
            self.out.extend_from_slice(if self.entries { b"{\"key\":" } else { b"[" });
        }
    }

    fn entry(&mut self, _: bool) {
        self.out.extend_from_slice(match (self.maps & 1, self.entries) {
            (1, _) => b":",
            (_, true) => b",\"value\":",
            (_, false) => b",",
        });
    }

    fn end_map(&mut self, count: usize) {
        if self.maps & 1 == 0 && count > 0 {
            self.close_entry();
        }
        self.out.push(if self.maps & 1 == 1 { b'}' } else { b']' });
        self.maps >>= 1;
    }

    #[inline]
    fn integer_text(&mut self, text: &[u8]) -> Option<()> {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let sound = match digits {
            [b'0'] => text.len() == 1,
            [b'1'..=b'9', rest @ ..] => rest.len() < 20 && rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        if !sound {
            return None;
        }
        self.out.extend_from_slice(text);
        Some(())
    }

    #[inline]
    fn float_text(&mut self, text: &[u8], float: Float) -> Option<()> {
        java::number(text, float, self.out)
    }
}

/// Append a schema as JsonConverter prints it.
pub fn write_schema(schema: &Schema, out: &mut Vec<u8>) {
    describe(schema, None, out);
}

fn describe(schema: &Schema, field: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(schema.kind.name().as_bytes());
    out.push(b'"');
    shape(&schema.kind, out);
    out.extend_from_slice(if schema.optional { b",\"optional\":true" } else { b",\"optional\":false" });
    if let Some(name) = &schema.name {
        member(b",\"name\":", name, out);
    }
    if let Some(version) = schema.version {
        out.extend_from_slice(b",\"version\":");
        json::integer(version, out);
    }
    if let Some(doc) = &schema.doc {
        member(b",\"doc\":", doc, out);
    }
    for (at, (name, value)) in schema.parameters.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b",\"parameters\":{" } else { b"," });
        member(b"", name, out);
        member(b":", value, out);
    }
    out.extend((!schema.parameters.is_empty()).then_some(b'}'));
    if let Some(default) = &schema.default {
        out.extend_from_slice(b",\"default\":");
        default.write(&mut Json::new(out, false));
    }
    if let Some(field) = field {
        member(b",\"field\":", field, out);
    }
    out.push(b'}');
}

fn shape(kind: &Kind, out: &mut Vec<u8>) {
    match kind {
        Kind::Array(element) => {
            out.extend_from_slice(b",\"items\":");
            describe(element, None, out);
        }
        Kind::Map(types) => {
            out.extend_from_slice(b",\"keys\":");
            describe(&types.0, None, out);
            out.extend_from_slice(b",\"values\":");
            describe(&types.1, None, out);
        }
        Kind::Struct(members) => {
            out.extend_from_slice(b",\"fields\":[");
            for (at, member) in members.iter().enumerate() {
                out.extend((at > 0).then_some(b','));
                describe(&member.schema, Some(&member.name), out);
            }
            out.push(b']');
        }
        _ => {}
    }
}

fn member(before: &[u8], text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    json::text(text, out);
}

#[cfg(test)]
mod tests {
    use super::super::value::{Recorder, Value};
    use super::*;

    #[test]
    fn schemas_are_printed_in_the_order_of_kafkas_converter() {
        let decimal = Schema::named(Kind::Bytes, "org.apache.kafka.connect.data.Decimal").with("scale", "2");
        let text = Schema {
            doc: Some("\"text\"".into()),
            default: Some(Value::String("d".into())),
            ..Schema::new(Kind::String)
        };
        let row =
            Schema { name: Some("a.Value".into()), ..Schema::structure([("n", decimal.optional()), ("t", text)]) };
        let numbers = Schema::array(Schema::new(Kind::Int32).optional());
        let map = Schema::new(Kind::Map(Box::new((Schema::new(Kind::Int16), Schema::new(Kind::Float64)))));
        let mut out = Vec::new();
        write_schema(&Schema::structure([("row", row), ("numbers", numbers), ("map", map)]), &mut out);
        let expected = concat!(
            r#"{"type":"struct","fields":[{"type":"struct","fields":[{"type":"bytes","optional":true,"#,
            r#""name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"},"field":"n"},"#,
            r#"{"type":"string","optional":false,"doc":"\"text\"","default":"d","field":"t"}],"optional":false,"#,
            r#""name":"a.Value","field":"row"},{"type":"array","items":{"type":"int32","optional":true},"#,
            r#""optional":false,"field":"numbers"},{"type":"map","keys":{"type":"int16","optional":false},"#,
            r#""values":{"type":"double","optional":false},"optional":false,"field":"map"}],"optional":false}"#
        );
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn every_shape_of_value_is_recorded_and_written() {
        let named = Value::Map(true, vec![(Value::String("k".into()), Value::Null)]);
        let numbered = vec![(Value::Integer(1), Value::Double(1.5)), (Value::Integer(2), Value::Single(0.1))];
        let value = Value::Struct(vec![
            (Field::new(0, "list", false), Value::List(vec![(true, Value::Boolean(true)), (true, Value::Null)])),
            (Field::new(1, "named", false), named),
            (Field::new(2, "num\"bered", false), Value::Map(false, numbered)),
            (Field::new(3, "bytes", false), Value::Bytes(vec![0, 255])),
            (Field::new(4, "empty", true), Value::Map(false, vec![])),
        ]);
        let mut recorder = Recorder::default();
        value.write(&mut recorder);
        let mut out = Vec::new();
        recorder.finish().unwrap().write(&mut Json::new(&mut out, true));
        let expected = concat!(
            r#"{"list":[true,null],"named":{"k":null},"num\"bered":[[1,1.5],[2,0.1]],"#,
            r#""bytes":"AP8=","empty":[]}"#
        );
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
