//! Texts and bytes by hand; what real writers write is in `tests/conformance`, and by chance in `tests/unit/native`.

use super::*;
use crate::error::Error;

fn schema(text: &str) -> std::result::Result<Decoder, String> {
    with(text, &[])
}

fn with(text: &str, references: &[(&str, &str)]) -> std::result::Result<Decoder, String> {
    let references: Vec<_> = references.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Decoder::parse(text, &references).map_err(|error| error.to_string())
}

/// The payload of a value, or its fault.
fn payload(decoder: &Decoder, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    match decoder.decode(bytes, 0, &mut out) {
        Ok(()) => {
            let text = String::from_utf8(out).unwrap();
            text[text.rfind("\"payload\":").unwrap() + 10..text.len() - 1].to_owned()
        }
        Err(Error::Malformed { what, offset }) => format!("{what} at {offset}"),
        Err(error) => error.to_string(),
    }
}

fn message(fields: &str, bytes: &[u8]) -> String {
    let decoder = schema(&format!("syntax = \"proto3\"; message M {{ {fields} }}")).unwrap();
    payload(&decoder, &[&[0], bytes].concat())
}

#[test]
fn what_does_not_come_is_the_zero_of_its_type_or_null() {
    let fields = "int32 a = 1; string b = 2; bytes c = 3; bool d = 4; double e = 5; repeated int32 f = 6;
        map<string, int32> g = 7; M h = 8; optional int32 i = 9; oneof o { int32 j = 10; string k = 11; }
        E l = 12; enum E { ZERO = 0; }";
    let expected =
        r#"{"a":0,"b":"","c":"","d":false,"e":0.0,"f":[],"g":{},"h":null,"i":null,"j":null,"k":null,"l":"ZERO"}"#;
    assert_eq!(message(fields, &[]), expected);
}

#[test]
fn scalars_are_read() {
    for (kind, bytes, expected) in [
        ("int32", &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..], "-1"),
        ("int32", &[8, 0xff, 0xff, 0xff, 0xff, 0x0f], "-1"),
        ("int64", &[8, 0x96, 0x81, 0x00], "150"),
        ("uint32", &[8, 0xff, 0xff, 0xff, 0xff, 0x0f], "4294967295"),
        ("uint64", &[8, 3], "3"),
        ("sint32", &[8, 3], "-2"),
        ("sint64", &[8, 4], "2"),
        ("fixed32", &[13, 255, 255, 255, 255], "4294967295"),
        ("sfixed32", &[13, 255, 255, 255, 255], "-1"),
        ("fixed64", &[9, 1, 0, 0, 0, 0, 0, 0, 0], "1"),
        ("sfixed64", &[9, 255, 255, 255, 255, 255, 255, 255, 255], "-1"),
        ("float", &[13, 0, 0, 0xc0, 0x3f], "1.5"),
        ("double", &[9, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f], "1.5"),
        ("bool", &[8, 1], "true"),
        ("string", b"\x0a\x02\xc3\xa9", "\"é\""),
        ("bytes", b"\x0a\x02\x00\xff", "\"AP8=\""),
        ("E", &[8, 1], "\"ONE\""),
    ] {
        let fields = format!("{kind} a = 1; enum E {{ ZERO = 0; ONE = 1; UNE = 1; option allow_alias = true; }}");
        assert_eq!(message(&fields, bytes), format!("{{\"a\":{expected}}}"), "{kind}");
    }
}

#[test]
fn lists_come_packed_and_not() {
    assert_eq!(message("repeated sint32 a = 1;", &[10, 2, 1, 2, 8, 3, 10, 0]), r#"{"a":[-1,1,-2]}"#);
    assert_eq!(message("repeated string a = 1;", b"\x0a\x01x\x0a\x00"), r#"{"a":["x",""]}"#);
    assert!(message("repeated fixed32 a = 1;", &[10, 3, 0, 0, 0]).contains("ends early"));
    assert!(message("string a = 1;", &[8, 0]).contains("another type"));
    assert!(message("int32 a = 1;", &[10, 1, 1]).contains("another type"));
}

#[test]
fn of_what_comes_twice_the_last_counts_and_messages_are_one() {
    assert_eq!(message("int32 a = 1;", &[8, 1, 8, 2]), r#"{"a":2}"#);
    let nested = "N a = 1; message N { int32 x = 1; repeated int32 y = 2; }";
    assert_eq!(message(nested, &[10, 4, 8, 1, 16, 1, 10, 2, 16, 2]), r#"{"a":{"x":1,"y":[1,2]}}"#);
    let oneof = "oneof o { int32 a = 1; string b = 2; } oneof p { int32 c = 3; }";
    assert_eq!(message(oneof, b"\x08\x01\x18\x05\x12\x01x"), r#"{"a":null,"b":"x","c":5}"#);
    assert_eq!(message(oneof, b"\x08\x01\x12\x01x\x08\x02"), r#"{"a":2,"b":null,"c":null}"#);
    assert_eq!(message("int32 b = 2; int32 a = 1;", &[8, 1, 16, 2]), r#"{"b":2,"a":1}"#);
}

#[test]
fn maps_are_objects_or_pairs() {
    let twice = b"\x0a\x05\x0a\x01k\x10\x01\x0a\x05\x0a\x01l\x10\x02\x0a\x05\x0a\x01k\x10\x03\x0a\x00";
    assert_eq!(message("map<string, int32> a = 1;", twice), r#"{"a":{"l":2,"k":3,"":0}}"#);
    assert_eq!(message("map<int32, string> a = 1;", b"\x0a\x05\x08\x07\x12\x01x"), r#"{"a":[[7,"x"]]}"#);
    let connect = "repeated HEntry a = 1; message HEntry { string key = 1; optional string value = 2; }";
    assert_eq!(message(connect, b"\x0a\x03\x0a\x01k"), r#"{"a":{"k":null}}"#);
    let nested = "map<string, N> a = 1; message N { map<string, int32> b = 1; }";
    assert_eq!(message(nested, b"\x0a\x03\x0a\x01k"), r#"{"a":{"k":{"b":{}}}}"#);
}

#[test]
fn well_known_messages_are_values() {
    let import = r#"syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/type/date.proto";
        import "google/type/timeofday.proto"; import "confluent/type/decimal.proto"; import "confluent/meta.proto";
        import public "google/protobuf/wrappers.proto"; package a.b;
        message M { google.protobuf.Timestamp at = 1; .google.type.Date day = 2; google.type.TimeOfDay time = 3;
          confluent.type.Decimal free = 4;
          confluent.type.Decimal two = 5 [(confluent.field_meta) = { params: [
            { key: "scale", value: "2" }, { key: "precision", value: "5" }] }];
          google.protobuf.Int32Value small = 6 [(confluent.field_meta).params = { key: "connect.type" value: "int16" }];
          repeated google.protobuf.StringValue texts = 7; }"#;
    let decoder = schema(import).unwrap();
    let read = |bytes: &[u8]| payload(&decoder, &[&[0], bytes].concat());
    let nulls = r#"{"at":null,"day":null,"time":null,"free":null,"two":null,"small":null,"texts":[]}"#;
    assert_eq!(read(&[]), nulls);
    let bytes = [
        &b"\x0a\x06\x08\x01\x10\xc0\x84\x3d"[..], // 1 second and a millisecond
        b"\x12\x07\x08\xae\x0c\x10\x0a\x18\x0f\x1a\x02\x08\x18", // 15 October 1582; 24:00
        b"\x22\x05\x0a\x01\x05\x18\x01\x2a\x05\x0a\x01\x05\x18\x02",
        b"\x32\x00\x3a\x00\x3a\x03\x0a\x01x",
    ];
    let values = r#"{"at":1001000,"day":-141427,"time":86400000000,"free":{"scale":1,"value":"BQ=="},"two":"BQ==","#;
    assert_eq!(read(&bytes.concat()), format!(r#"{values}"small":0,"texts":["","x"]}}"#));
    assert!(read(b"\x12\x07\x08\xae\x0c\x10\x0a\x18\x04").contains("\"day\":-141428"), "Java's calendar");
    for (bytes, fault) in [
        (&b"\x12\x07\x08\xae\x0c\x10\x0a\x18\x05"[..], "no day"),
        (b"\x12\x07\x08\xe7\x0f\x10\x02\x18\x1d", "no day"),
        (b"\x0a\x02\x10\x01", "nanoseconds"),
        (b"\x1a\x02\x08\x19", "a time that is none"),
        (b"\x2a\x05\x0a\x01\x05\x18\x03", "another scale"),
    ] {
        assert!(read(bytes).contains(fault), "{fault}: {}", read(bytes));
    }
    let mut out = Vec::new();
    decoder.decode(&[0], 0, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for part in [
        r#"{"type":"int64","optional":true,"name":"io.debezium.time.MicroTimestamp","version":1,"field":"at"}"#,
        r#""name":"io.debezium.data.VariableScaleDecimal","version":1,"field":"free"}"#,
        r#""parameters":{"scale":"2","connect.decimal.precision":"5"},"field":"two"}"#,
        r#"{"type":"int16","optional":true,"field":"small"}"#,
        r#""name":"a.b.M"}"#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn indexes_choose_the_message() {
    let text =
        "syntax='proto3'; message A { message B { int32 x = 1; message C { string y = 1; } } map<int32, B> m = 1;
        message D { bool z = 1; } } message E { int64 e = 1; }";
    let decoder = schema(text).unwrap();
    for (bytes, expected) in [
        (&[0][..], r#"{"m":[]}"#),
        (&[2, 0], r#"{"m":[]}"#),
        (&[2, 2], r#"{"e":0}"#),
        (&[4, 0, 0], r#"{"x":0}"#),
        (&[4, 0, 2, 8, 1], r#"{"z":true}"#),
        (&[6, 0, 0, 0], r#"{"y":""}"#),
        (&[2, 4], "a message that the schema does not have at 2"),
        (&[4, 2, 0], "a message that the schema does not have at 3"),
        (&[1], "an index of a message below zero at 1"),
        (&[], "protobuf ends early at 0"),
        (&[0xff; 11], "a number of more than 64 bits in protobuf at 10"),
    ] {
        assert_eq!(payload(&decoder, bytes), expected, "{bytes:?}");
    }
    assert!(payload(&decoder, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0x01]).contains("ends early"));
    assert!(payload(&schema("").unwrap(), &[0]).contains("does not have"));
}

#[test]
fn no_byte_is_passed_over_and_no_length_believed() {
    for (fields, bytes, fault) in [
        ("int32 a = 1;", &[16, 1][..], "a protobuf field that the schema does not have at 2"),
        ("int32 a = 1;", &[0, 0], "a protobuf field that the schema does not have"),
        ("int32 a = 1;", &[8], "protobuf ends early"),
        ("int32 a = 1;", &[8, 0x80], "protobuf ends early"),
        ("int32 a = 1;", &[8, 0xff, 0xff, 0xff, 0xff, 0x1f], "more bits than its type"),
        ("uint32 a = 1;", &[8, 0xff, 0xff, 0xff, 0xff, 0x1f], "more bits than its type"),
        ("int64 a = 1;", &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], "more than 64 bits"),
        ("uint64 a = 1;", &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], "above 9223372036854775807"),
        ("string a = 1;", &[10, 0xff, 0xff, 0xff, 0xff, 0x0f], "protobuf ends early"),
        ("string a = 1;", &[10, 1, 0xff], "not UTF-8 at 3"),
        ("fixed64 a = 1;", &[9, 0], "protobuf ends early"),
        ("M a = 1;", &[11, 12], "another type"),
        ("E a = 1; enum E { ZERO = 0; }", &[8, 1], "an enum without such a value at 3"),
        ("oneof o { int32 a = 1; } repeated int32 b = 2;", &[10, 1, 1], "another type"),
    ] {
        let fault = fault.replace("an enum", "a protobuf enum");
        assert!(message(fields, bytes).contains(&fault), "{}", message(fields, bytes));
    }
    let required = schema("message M { required int32 a = 1; optional int32 b = 2 [default = 7]; }").unwrap();
    assert!(payload(&required, &[0]).contains("required"));
    assert_eq!(payload(&required, &[0, 8, 1]), r#"{"a":1,"b":null}"#);
}

#[test]
fn messages_that_contain_themselves_are_followed_as_deep_as_protobuf_does() {
    let decoder = schema("syntax='proto3'; message M { int32 a = 1; M m = 2; }").unwrap();
    assert_eq!(payload(&decoder, &[0, 18, 2, 8, 5]), r#"{"a":0,"m":{"a":5,"m":null}}"#);
    let deep = |levels: usize| {
        let mut bytes = Vec::new();
        for _ in 0..levels {
            let mut outer = vec![18];
            let mut length = bytes.len();
            while length > 127 {
                outer.push((length & 127) as u8 | 128);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend(bytes);
            bytes = outer;
        }
        bytes
    };
    assert!(payload(&decoder, &[&[0][..], &deep(99)].concat()).starts_with("{\"a\":0"));
    assert!(payload(&decoder, &[&[0][..], &deep(100)].concat()).contains("nested too deeply"));
    assert!(payload(&decoder, &[&[0][..], &deep(5000)].concat()).contains("nested too deeply"));
}

#[test]
fn what_ordinary_files_hold_is_read() {
    let text = r#"
        // a comment; with { signs
        syntax = "proto3"; /* another
        one */ package shop . v1;
        import "other.proto"; import weak "google/protobuf/empty.proto"; import "google/protobuf/descriptor.proto";
        option java_package = "x" "y"; option (my.file) = { a: 1, b <c: "}" d: [1, -2.5e+3, inf]> [ext.name]: x };
        extend google.protobuf.FieldOptions { string note = 50000; }
        service S { rpc Get (M) returns (stream M) { option (google.api.http) = { get: "/v1/{name}" }; } }
        message M {
          option deprecated = false;
          reserved 2, 4 to 6, 100 to max; reserved "old", 'older'; extensions 1000 to 1999;
          string message = 1 [deprecated = true, (note) = "x;]", json_name = 'm', (a).b.(c.d).e = .5];
          Inner.Kind kind = 3; ;
          message Inner { enum Kind { option allow_alias = true; NONE = 0; SOME = 0x1 [(x) = "y"]; LESS = -1; reserved 7; } }
          shop.v1.M.Inner inner = 7; Other other = 8; .shop.v1.Other again = 012;
          oneof reserved { option (z) = true; int32 optional = 9; }
          map < int32 , Inner.Kind > kinds = 11;
          google.protobuf.Empty nothing = 12;
        }"#;
    let other = "syntax='proto3'; package shop.v1; import 'third.proto'; message Other { third.T t = 1; }";
    let third = "package third; message T { repeated int32 p = 1 [packed = true]; }";
    let decoder = with(text, &[("other.proto", other), ("third.proto", third)]).unwrap();
    let expected = r#"{"message":"x","kind":"SOME","inner":{},"other":{"t":{"p":[1]}},"again":null,"optional":5,"#;
    let bytes = b"\x00\x0a\x01x\x18\x01\x3a\x00\x42\x05\x0a\x03\x0a\x01\x01\x48\x05\x5a\x04\x08\x01\x10\x00\x62\x00";
    assert_eq!(payload(&decoder, bytes), format!(r#"{expected}"kinds":[[1,"NONE"]],"nothing":{{}}}}"#));
    let missing = with(text, &[("other.proto", other)]).unwrap_err();
    assert!(missing.contains("\"third.proto\", which the registry has no reference for"), "{missing}");
    let broken = with(text, &[("other.proto", other), ("third.proto", "\nx")]).unwrap_err();
    assert!(broken.starts_with("third.proto: line 2: "), "{broken}");
}

#[test]
fn what_matters_and_is_not_known_is_named_with_its_line() {
    for (text, fault) in [
        ("{\"type\":\"string\"}", "line 1: not a .proto text"),
        ("\nmessage M { optional group G = 1 { } }", "line 2: a group"),
        ("edition = \"2023\";", "line 1: an edition"),
        ("syntax = 'proto4';", "neither proto2 nor proto3"),
        ("\n\nmessage M { int32 a = 1; }", "line 3: a field of proto2 without a label"),
        ("syntax='proto3';\nmessage M {\n  Missing a = 1;\n}", "line 3: the type Missing, which nothing defines"),
        ("syntax='proto3'; message M { int32 a = 1; int32 b = 1; }", "two fields of number 1"),
        ("syntax='proto3'; message M { int32 a = 1; int32 a = 2; }", "two fields of name a"),
        ("message M {} enum M { A = 0; }", "the type M, which is defined twice"),
        ("syntax='proto3'; message M { int32 a = 0; }", "a number that no field can have"),
        ("syntax='proto3'; message M { int32 a = 536870912; }", "a number that no field can have"),
        ("syntax='proto3'; message M { int32 a = 99999999999999999999; }", "not an integer"),
        ("syntax='proto3'; message M { map<M, int32> a = 1; }", "a map with keys of type M"),
        ("syntax='proto3'; message M { repeated map<int32, int32> a = 1; }", "a map with a label"),
        ("message M { option message_set_wire_format = true; }", "message_set_wire_format"),
        ("enum E { }", "an enum without values"),
        ("enum E { A = 4294967296; }", "a number that no enum can have"),
        ("message M {", "a message without an end"),
        ("message M", "no '{'"),
        ("service S { rpc", "a block without an end"),
        ("extend X ;", "no block"),
        ("message M { reserved 1", "a statement without an end"),
        ("option x = ", "an option without a value"),
        ("option x = { [a", "an option without an end"),
        ("frob;", "a statement that is not known"),
        ("import 'x.proto';", "\"x.proto\", which the registry has no reference for"),
        ("syntax='proto3'; package google.type; message Date { int32 y = 1; }", "google.type.Date has other fields"),
    ] {
        let found = schema(text).unwrap_err();
        assert!(found.contains(fault), "{text}: {found}");
    }
}

#[test]
fn hostile_texts_are_bounded() {
    for text in [
        "message M { ".repeat(100_000),
        format!("option x = {}", "{ a: ".repeat(100_000)),
        format!("option x = {}", "[".repeat(100_000)),
        format!("option x = {}", "-".repeat(100_000)),
        format!("enum E {{ {} }}", (0..200_000).map(|at| format!("A{at}={at};")).collect::<String>()),
        format!("message M {{ {} }}", (0..200_000).map(|at| format!("oneof o{at}{{}}")).collect::<String>()),
        " ".repeat(5 << 20),
    ] {
        let found = schema(&text).unwrap_err();
        assert!(found.contains("nested too deeply") || found.contains("too large"), "{found}");
    }
    // Two bytes for each message of many fields.
    let wide: String = (1..=10_000).map(|at| format!("int32 f{at} = {at};")).collect();
    let wide = schema(&format!("syntax='proto3'; message M {{ repeated N n = 1; message N {{ {wide} }} }}")).unwrap();
    assert!(payload(&wide, &[&[0][..], &[10, 0].repeat(5000)].concat()).contains("names and zeros"));
    // Names that double: the schema that is written does not follow them all the way.
    let mut text = "syntax='proto3'; message M0 { int32 x = 1; }".to_owned();
    for at in 1..60 {
        text += &format!("message M{at} {{ M{0} a = 1; M{0} b = 2; }}", at - 1);
    }
    let mut out = Vec::new();
    schema(&text).unwrap().decode(&[2, 118], 0, &mut out).unwrap();
    assert!(out.len() < 4096);
}

#[test]
fn a_list_that_the_lexer_cannot_go_on_in_is_a_fault() {
    for (text, fault) in [
        ("\noption a = [\"x\" /*", "line 2: a comment without an end"),
        ("\noption a = [\"x\" é]", "line 2: a character that no .proto text has"),
    ] {
        let found = schema(text).unwrap_err();
        assert!(found.contains(fault), "{text}: {found}");
    }
    assert_eq!(payload(&schema("option a = ['\\xff']; message M {}").unwrap(), &[0]), "{}", "bytes that are no text");
}

/// The whole JSON of the first message without a byte of its own, or its fault.
fn head(text: &str) -> std::result::Result<String, String> {
    let mut out = Vec::new();
    schema(text).unwrap().decode(&[0], 0, &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_small_schema_does_not_become_a_large_head() {
    let itself: String = (1..=1000).map(|at| format!("M a{at}={at};")).collect();
    let found = head(&format!("syntax='proto3'; message M {{ {itself} }}")).unwrap();
    assert!(found.len() < 1 << 20, "{} bytes", found.len());
    assert!(found.contains(r#""field":"a1000""#), "its own columns are told");
    // An envelope needs the columns of its rows.
    let wide = |name: &str, kind: &str, count: usize| {
        let fields: String = (1..=count).map(|at| format!("{kind} {name}{at}={at};")).collect();
        format!("message {} {{ {fields} }} ", name.to_uppercase())
    };
    let event = "syntax='proto3'; message M { V before=1; V after=2; string op=3; } ";
    let found = head(&[event, &wide("v", "W", 300), &wide("w", "int32", 300)].concat()).unwrap();
    assert!(found.len() < 1 << 20, "{} bytes", found.len());
    assert!(found.contains(r#""field":"v300""#) && !found.contains("w300"));
    let found = head(&[event, &wide("v", "W", 30), &wide("w", "int32", 30)].concat()).unwrap();
    assert!(found.contains(r#""field":"w30""#), "a column's struct is told where there is room");
    let long = wide("v", "int32", 1).replace("v1", &"v".repeat(3 << 20));
    let found = head(&[event, &long].concat());
    assert!(found.unwrap_err().contains("too large"), "what is left out of an envelope would be other types");
    // Labels of an enum are told with each of its fields.
    let labels: String = (0..9_000).map(|at| format!("LABEL{at}={at};")).collect();
    let found = head(&format!("syntax='proto3'; enum E {{ {labels} }} {}", wide("m", "E", 9_000)));
    assert!(found.unwrap_err().contains("too large"));
}

#[test]
fn a_descriptor_with_a_oneof_that_it_does_not_declare_is_refused() {
    // `message M { oneof o { int32 a = 1; } }`, a's oneof being the 8th, the one before the first, and the first.
    let oneof = |index: &[u8]| {
        let nested = |tag: u8, bytes: &[u8]| [&[tag, bytes.len() as u8], bytes].concat();
        let field = [&b"\x0a\x01a\x18\x01\x20\x01\x28\x05\x48"[..], index].concat();
        let message = [b"\x0a\x01M", &nested(0x12, &field)[..], &nested(0x42, b"\x0a\x01o")].concat();
        let file = [&nested(0x22, &message)[..], b"\x62\x06proto3"].concat();
        let mut text = Vec::new();
        crate::encode::json::base64(&file, &mut text);
        schema(&String::from_utf8(text).unwrap())
    };
    for index in [&[7][..], &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]] {
        let found = oneof(index).map(|decoder| payload(&decoder, &[0, 8, 1])).unwrap_err();
        assert!(found.contains("a oneof that it does not declare"), "{found}");
    }
    assert_eq!(payload(&oneof(&[0]).unwrap(), &[0, 8, 1]), r#"{"a":1}"#);
}

#[test]
fn labels_count_as_names_do() {
    let label = "L".repeat(1 << 20);
    let labels = format!("repeated E e = 1; enum E {{ {label} = 0; }}");
    assert!(message(&labels, &[&[10, 100][..], &[0; 100]].concat()).contains("names and zeros"));
}

#[test]
fn full_names_are_bounded() {
    let messages: String = (0..50_000).map(|at| format!("message a{at}{{}}")).collect();
    for package in ["p".repeat(1 << 20), "p".repeat(1000)] {
        let found = schema(&format!("package {package}; {messages}")).map(|_| ()).unwrap_err();
        assert!(found.contains("too large"), "{found}");
    }
    assert!(schema(&format!("package {}; {messages}", "p".repeat(60))).is_ok());
}

#[test]
fn a_package_is_what_topics_are_named() {
    for package in ["my-shop.public.orders", "7.1-2.x-", "a.1e-2"] {
        let text = format!(
            "syntax = \"proto3\";\npackage {package};\n\nmessage Envelope {{ Value after = 1; message Value {{ int32 id = 1; }} }}"
        );
        let mut out = Vec::new();
        schema(&text).unwrap().decode(&[0, 10, 2, 8, 5], 0, &mut out).unwrap();
        let found = String::from_utf8(out).unwrap();
        assert!(found.contains(&format!("\"name\":\"{package}.Envelope\"")), "{found}");
        assert!(found.ends_with(r#""payload":{"after":{"id":5}}}"#), "{found}");
    }
    for package in [";", ".a;", "a.;", "a..b;", "'a';", "a{b;", "a"] {
        let found = schema(&format!("\npackage {package}")).unwrap_err();
        assert!(found.starts_with("line 2: "), "{package}: {found}");
    }
}

#[test]
fn well_known_messages_have_the_types_that_readers_know() {
    for (package, message) in [
        ("confluent.type", "Decimal { int64 value = 1; uint32 precision = 2; int32 scale = 3; }"),
        ("confluent.type", "Decimal { bytes value = 1; uint32 precision = 2; sint32 scale = 3; }"),
        ("google.protobuf", "Timestamp { sint64 seconds = 1; int32 nanos = 2; }"),
        ("google.protobuf", "Int32Value { int64 value = 1; }"),
        ("google.type", "Date { int32 year = 1; string month = 2; int32 day = 3; }"),
        ("google.type", "TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int64 nanos = 4; }"),
    ] {
        let found = schema(&format!("syntax='proto3'; package {package}; message {message}")).err().unwrap_or_default();
        assert!(found.contains("has other fields"), "{message}: {found}");
    }
}

#[test]
fn an_option_of_an_enums_value_may_hold_semicolons() {
    let fields = "E e = 1; enum E { A = 0 [(o) = { a: 1; b: 2 }, deprecated = true]; B = 1; }";
    assert_eq!(message(fields, &[8, 1]), r#"{"e":"B"}"#);
    let found = schema("enum E {\n A = 0 B = 1; }").unwrap_err();
    assert!(found.contains("line 2: no ';'"), "{found}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        let fields = "int32 a = 1; repeated sint64 b = 2; map<string, M> c = 3; M d = 4; oneof o { E e = 5; double f = 6; }
            google.protobuf.Timestamp g = 7; google.type.Date h = 8; confluent.type.Decimal i = 9; bytes j = 10;
            enum E { ZERO = 0; } google.type.TimeOfDay k = 11; google.protobuf.UInt64Value l = 12;";
        let imports = ["google/protobuf/timestamp", "google/type/date", "google/type/timeofday", "confluent/type/decimal",
            "google/protobuf/wrappers"].map(|path| format!("import '{path}.proto';")).concat();
        let decoder = schema(&format!("syntax='proto3'; {imports} message M {{ {fields} }}")).unwrap();
        let mut out = Vec::new();
        if decoder.decode(&bytes, 0, &mut out).is_ok() {
            let mut scanner = crate::read::scan::Scanner::new(&out, 0);
            scanner.skip().unwrap();
            scanner.end().unwrap();
        }
    }

    #[test]
    fn any_text_is_parsed_without_panic(words in proptest::collection::vec(
        proptest::sample::select(vec!["message", "enum", "M", "{", "}", "=", "1", ";", "oneof", "map", "<", ">", ",",
            "repeated", "int32", "[", "]", "(", ")", ".", "'x'", "option", "reserved", "-", "syntax", "'proto3'",
            "import", "extend", "//", "\n", "/*", "*/", "\"", "'\\x", "0x"]), 0..60)) {
        let _ = schema(&words.join(" "));
        let _ = schema(&words.concat());
    }
}
