//! `TimezoneConverter`: times moved into another zone, by the meaning that a schema gives to them.

use std::sync::Arc;

use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, civil};

use super::Flow;
use super::record::{Content, Record};
use crate::encode::connect::{Kind, Schema};
use crate::value::time::{civil_from_days, days_from_civil};

/// What a value is before it is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// A local time since 1970, so many units a second: it is read in the zone and becomes a moment.
    Local(i64),
    /// A moment, so many units a second: what a clock of the zone shows then.
    Moment(i64),
    /// Text of a time with a zone.
    Zoned,
    /// Text of a time of day with a zone.
    ZonedTime,
}

/// A zone to move a value to.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    zone: TimeZone,
    meaning: Meaning,
}

/// Which fields of which tables and topics, of an `include.list` or an `exclude.list`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    scope: Scope,
    name: String,
    field: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Topic,
    Source,
    Either,
}

/// The options.
#[derive(Clone, Debug)]
pub struct ToZone {
    zone: TimeZone,
    rules: Rules,
    exclude: bool,
}

/// Names that are the same for every zone.
const DAY_S: i64 = 86_400;
/// After so many seconds the calendar repeats itself, days of the week included.
const CYCLE_S: i64 = 146_097 * DAY_S;
/// From here on the rules of a zone are those of its last rule: 1 January 2400.
const SETTLED_S: i64 = 13_569_465_600;
/// Year -9998, before any zone had rules.
const FIRST_S: i64 = -377_673_580_800;
/// Debezium's infinite timestamps, in milliseconds, microseconds and nanoseconds.
const INFINITE_MS: [i64; 2] = [9_223_372_036_825_200, -9_223_372_036_832_400];
const INFINITE_US: [i64; 2] = [9_223_372_036_825_200_000, -9_223_372_036_832_400_000];
const INFINITE_NS: [i64; 2] = [i64::MAX, i64::MIN];

impl Rules {
    /// Read a list as Debezium has it: `source:table:field`, `topic:name`, `name:field`.
    ///
    /// # Errors
    /// In words, for an entry of another form.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut scope = Scope::Either;
        let mut rules = Vec::new();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let mut parts: Vec<&str> = entry.split(':').collect();
            match parts[0].to_ascii_lowercase().as_str() {
                "source" if parts.len() > 1 => scope = Scope::Source,
                "topic" if parts.len() > 1 => scope = Scope::Topic,
                _ => parts.insert(0, ""),
            }
            match parts[1..] {
                [name] if !name.is_empty() => rules.push(Rule { scope, name: name.into(), field: None }),
                [name, field] if !name.is_empty() && !field.is_empty() => {
                    rules.push(Rule { scope, name: name.into(), field: Some(field.into()) });
                }
                _ => return Err(format!("{entry:?} is not source:TABLE[:FIELD], topic:TOPIC[:FIELD] or NAME:FIELD")),
            }
        }
        Ok(Self(rules))
    }

    /// The fields that are named for a table in a topic; None when neither is.
    fn fields(&self, table: Option<&str>, topic: &str) -> Option<Vec<&str>> {
        let candidates =
            [(Scope::Topic, Some(topic)), (Scope::Source, table), (Scope::Either, Some(topic)), (Scope::Either, table)];
        let (scope, name) = candidates.into_iter().find_map(|(scope, name)| {
            let known = |rule: &Rule| rule.scope == scope && Some(rule.name.as_str()) == name;
            self.0.iter().any(known).then_some((scope, name))
        })?;
        let of = self.0.iter().filter(|rule| rule.scope == scope && Some(rule.name.as_str()) == name);
        Some(of.filter_map(|rule| rule.field.as_deref()).collect())
    }
}

impl ToZone {
    /// A zone by its name (`Europe/Berlin`) or its distance to UTC (`+08:00`), and what it is for.
    ///
    /// # Errors
    /// In words.
    pub fn new(zone: &str, include: &str, exclude: &str) -> Result<Self, String> {
        let [included, excluded] = [Rules::parse(include)?, Rules::parse(exclude)?];
        if !included.0.is_empty() && !excluded.0.is_empty() {
            return Err("give include_list or exclude_list, not both".into());
        }
        let unknown = || format!("{zone:?} is no time zone: give a name (Europe/Berlin) or a distance to UTC (+08:00)");
        let zone = match distance(zone) {
            Some(seconds) => TimeZone::fixed(Offset::from_seconds(seconds).map_err(|_| unknown())?),
            None => TimeZone::get(zone).map_err(|_| unknown())?,
        };
        let exclude = !excluded.0.is_empty();
        Ok(Self { zone, rules: if exclude { excluded } else { included }, exclude })
    }

    /// Apply it.
    pub(super) fn apply(&self, mut record: Record) -> Flow {
        let Some(envelope) = record.envelope() else { return Flow::Next(record) };
        let table = match envelope.member("source").and_then(|source| source.member("table")).map(|node| node.content) {
            Some(Content::Fixed(crate::encode::connect::Value::String(table))) => Some(table),
            _ => None,
        };
        let fields = self.rules.fields(table.as_deref(), &record.topic);
        let named = fields.as_ref().is_some_and(|fields| !fields.is_empty());
        let all = match &fields {
            Some(_) => !self.exclude && !named,
            None => self.exclude || self.rules.0.is_empty(),
        };
        if (all || named)
            && let Some(value) = &mut record.value
        {
            for image in ["before", "after", "source"] {
                let listed: Vec<&str> = fields.iter().flatten().filter_map(|field| of_image(field, image)).collect();
                if image == "source" && listed.is_empty() {
                    continue;
                }
                let chosen = |name: &str| all || listed.contains(&name) != self.exclude;
                value.change(image, |schema, content| self.image(schema, content, image == "source", chosen));
            }
        }
        Flow::Next(record)
    }

    fn image(&self, schema: &Schema, content: &mut Content, source: bool, chosen: impl Fn(&str) -> bool) {
        let Content::Struct(contents) = content else { return };
        for (member, content) in schema.members().iter().zip(contents) {
            let Some(meaning) = meaning(&member.name, &member.schema, source).filter(|_| chosen(&member.name)) else {
                continue;
            };
            if let Content::Slot(slot) = content {
                slot.zone = Some(Arc::new(Zone { zone: self.zone.clone(), meaning }));
            }
        }
    }
}

/// The field that an entry names in this image, if it does.
fn of_image<'a>(field: &'a str, image: &str) -> Option<&'a str> {
    match field.split_once('.') {
        Some((of, field)) if matches!(of, "before" | "after" | "source") => (of == image).then_some(field),
        _ => (image != "source").then_some(field),
    }
}

fn meaning(name: &str, schema: &Schema, source: bool) -> Option<Meaning> {
    match schema.name.as_deref() {
        Some("io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp") => Some(Meaning::Local(1000)),
        Some("io.debezium.time.MicroTimestamp") => Some(Meaning::Local(1_000_000)),
        Some("io.debezium.time.NanoTimestamp") => Some(Meaning::Local(1_000_000_000)),
        Some("io.debezium.time.ZonedTimestamp") => Some(Meaning::Zoned),
        Some("io.debezium.time.ZonedTime") => Some(Meaning::ZonedTime),
        None if source && schema.kind == Kind::Int64 => match name {
            "ts_ms" => Some(Meaning::Moment(1000)),
            "ts_us" => Some(Meaning::Moment(1_000_000)),
            "ts_ns" => Some(Meaning::Moment(1_000_000_000)),
            _ => None,
        },
        _ => None,
    }
}

/// `+08:00`, `-03:30:15`: seconds east of UTC.
fn distance(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes() {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let parts: Vec<&[u8]> = digits.split(|byte| *byte == b':').collect();
    let number = |part: &[u8]| match part {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i32::from(a - b'0') * 10 + i32::from(b - b'0')),
        _ => None,
    };
    let seconds = match parts[..] {
        [hours, minutes] => number(hours)? * 3600 + number(minutes)? * 60,
        [hours, minutes, seconds] => number(hours)? * 3600 + number(minutes)? * 60 + number(seconds)?,
        _ => return None,
    };
    (seconds <= 18 * 3600).then_some(sign * seconds)
}

impl Zone {
    /// A number, moved.
    pub(super) fn integer(&self, value: i64) -> i64 {
        let (unit, sign, offset) = match self.meaning {
            Meaning::Local(unit) if infinite(unit).contains(&value) => return value,
            Meaning::Local(unit) => (unit, -1, self.local(value.div_euclid(unit))),
            Meaning::Moment(unit) => (unit, 1, self.moment(value.div_euclid(unit))),
            _ => return value,
        };
        value.saturating_add(sign * i64::from(offset) * unit)
    }

    /// A text, moved; None when it is no time (`infinity`). `now_ns` is the time of processing.
    pub(super) fn text(&self, text: &[u8], now_ns: i64) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(40);
        match self.meaning {
            Meaning::Zoned => {
                let at = text.iter().position(|byte| *byte == b'T')?;
                let (seconds, fraction) = clock(&text[at + 1..])?;
                let seconds = days(&text[..at])? * DAY_S + seconds;
                // As Debezium does: the hands of a clock in UTC are looked up in the zone.
                let offset = self.local(seconds);
                let seconds = seconds + i64::from(offset);
                write_day(seconds.div_euclid(DAY_S), &mut out);
                out.push(b'T');
                write_clock(seconds.rem_euclid(DAY_S), fraction, offset, &mut out);
            }
            Meaning::ZonedTime => {
                let (seconds, fraction) = clock(text)?;
                let offset = self.moment(now_ns.div_euclid(1_000_000_000));
                write_clock((seconds + i64::from(offset)).rem_euclid(DAY_S), fraction, offset, &mut out);
            }
            _ => return None,
        }
        Some(out)
    }

    /// Seconds east of UTC at a moment.
    fn moment(&self, seconds: i64) -> i32 {
        Timestamp::from_second(within(seconds)).map_or(0, |moment| self.zone.to_offset(moment).seconds())
    }

    /// Seconds east of UTC when clocks show this; while they are set, what was before.
    fn local(&self, seconds: i64) -> i32 {
        let seconds = within(seconds);
        let (days, clock) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
        let (year, month, day) = civil_from_days(days);
        let at = (i16::try_from(year).unwrap_or(0), month as i8, day as i8);
        let Ok(date) = civil::Date::new(at.0, at.1, at.2) else { return 0 };
        let time = date.at((clock / 3600) as i8, (clock / 60 % 60) as i8, (clock % 60) as i8, 0);
        match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.seconds(),
            AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before.seconds(),
        }
    }
}

/// Both infinities in so many units a second.
fn infinite(unit: i64) -> [i64; 2] {
    match unit {
        1000 => INFINITE_MS,
        1_000_000 => INFINITE_US,
        _ => INFINITE_NS,
    }
}

/// A time of the same rules within the years that the calendar's library knows.
fn within(seconds: i64) -> i64 {
    if seconds < FIRST_S {
        FIRST_S
    } else if seconds >= SETTLED_S + CYCLE_S {
        SETTLED_S + (seconds - SETTLED_S) % CYCLE_S
    } else {
        seconds
    }
}

/// `[+-]YYYY-MM-DD` as days since 1970.
fn days(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let [year, month, day] =
        text.rsplitn(3, '-').collect::<Vec<_>>().try_into().ok().map(|[d, m, y]: [&str; 3]| [y, m, d])?;
    let (month, day) = (month.parse().ok()?, day.parse().ok()?);
    let year: i64 = year.parse().ok()?;
    ((1..=12).contains(&month) && (1..=31).contains(&day) && year.abs() < 1_000_000)
        .then(|| days_from_civil(year, month, day))
}

/// `HH:MM:SS[.fraction]Z` as seconds of the day, and the fraction without zeros at its end.
fn clock(text: &[u8]) -> Option<(i64, &[u8])> {
    let text = text.strip_suffix(b"Z")?;
    let (clock, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b""[..]),
    };
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    let pair =
        |a: &u8, b: &u8| (a.is_ascii_digit() && b.is_ascii_digit()).then(|| i64::from((a - b'0') * 10 + b - b'0'));
    let seconds = pair(h1, h2)? * 3600 + pair(m1, m2)? * 60 + pair(s1, s2)?;
    let kept = fraction.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    fraction.iter().all(u8::is_ascii_digit).then_some((seconds, &fraction[..kept]))
}

/// As `java.time` prints a date.
fn write_day(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    let year = if year > 9999 {
        format!("+{year}")
    } else if year < 0 {
        format!("-{:04}", -year)
    } else {
        format!("{year:04}")
    };
    out.extend_from_slice(format!("{year}-{month:02}-{day:02}").as_bytes());
}

/// As `java.time` prints a time with its offset.
fn write_clock(seconds: i64, fraction: &[u8], offset: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60).as_bytes());
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
    if offset == 0 {
        return out.push(b'Z');
    }
    let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.abs());
    out.extend_from_slice(format!("{sign}{:02}:{:02}", offset / 3600, offset / 60 % 60).as_bytes());
    if offset % 60 != 0 {
        out.extend_from_slice(format!(":{:02}", offset % 60).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str, meaning: Meaning) -> Zone {
        Zone { zone: ToZone::new(name, "", "").unwrap().zone, meaning }
    }

    #[test]
    fn texts_are_moved_as_debezium_does() {
        for (name, text, moved) in [
            ("Europe/Berlin", "2024-02-29T10:34:56.120000Z", "2024-02-29T11:34:56.12+01:00"),
            ("Europe/Berlin", "2024-07-01T23:30:00Z", "2024-07-02T01:30:00+02:00"),
            ("Europe/Berlin", "2024-03-31T02:30:00Z", "2024-03-31T03:30:00+01:00"),
            ("+05:45", "-0043-03-15T01:00:00.000Z", "-0043-03-15T06:45:00+05:45"),
            ("Europe/Berlin", "+99999-07-01T12:00:00Z", "+99999-07-01T14:00:00+02:00"),
            ("UTC", "2024-01-01T00:00:00.100Z", "2024-01-01T00:00:00.1Z"),
            ("America/New_York", "0001-01-01T00:00:00Z", "0000-12-31T19:03:58-04:56:02"),
        ] {
            let text = zone(name, Meaning::Zoned).text(text.as_bytes(), 0).unwrap();
            assert_eq!(String::from_utf8_lossy(&text), moved);
        }
        assert_eq!(zone("UTC", Meaning::Zoned).text(b"infinity", 0), None);
        let time = zone("Asia/Tokyo", Meaning::ZonedTime).text(b"20:00:00.5Z", 0).unwrap();
        assert_eq!(String::from_utf8_lossy(&time), "05:00:00.5+09:00");
    }

    #[test]
    fn local_times_become_moments_and_moments_local_times() {
        assert_eq!(zone("Europe/Berlin", Meaning::Local(1000)).integer(1_719_835_200_000), 1_719_828_000_000);
        assert_eq!(zone("Europe/Berlin", Meaning::Moment(1000)).integer(1_719_835_200_000), 1_719_842_400_000);
        assert_eq!(zone("-01:00", Meaning::Local(1_000_000)).integer(-1), 3_599_999_999);
    }

    #[test]
    fn infinity_is_no_local_time_of_any_zone() {
        for (unit, ends) in [
            (1000, [9_223_372_036_825_200, -9_223_372_036_832_400]),
            (1_000_000, [9_223_372_036_825_200_000, -9_223_372_036_832_400_000]),
            (1_000_000_000, [i64::MAX, i64::MIN]),
        ] {
            for name in ["Asia/Tokyo", "-01:00"] {
                let zone = zone(name, Meaning::Local(unit));
                assert_eq!(ends.map(|end| zone.integer(end)), ends, "{unit} a second, in {name}");
            }
        }
    }

    #[test]
    fn rules_are_read_as_debezium_does() {
        let rules = Rules::parse("source:orders:created, customers:born, topic:shop.public.t").unwrap();
        assert_eq!(rules.fields(Some("orders"), "x"), Some(vec!["created"]));
        assert_eq!(rules.fields(Some("customers"), "x"), Some(vec!["born"]), "the scope of the entry before it holds");
        assert_eq!(rules.fields(Some("other"), "shop.public.t"), Some(vec![]));
        assert_eq!(rules.fields(Some("other"), "x"), None);
        assert!(Rules::parse("a:b:c:d").is_err() && Rules::parse("source:").is_err());
        assert!(ToZone::new("Mars/Olympus", "", "").is_err() && ToZone::new("+8", "", "").is_err());
    }
}
