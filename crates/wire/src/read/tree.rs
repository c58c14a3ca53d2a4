//! JSON as a tree, for texts that are read once: schemas. Values of records are never built like this.

use super::scan::{Scanner, owned};
use crate::error::Result;

/// Levels that a schema may have.
pub(super) const DEPTH_MAX: usize = 64;

/// JSON, whole.
#[derive(Debug)]
pub(super) enum Json {
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// A number, as it stands there.
    Number(String),
    /// True, false, null.
    Other,
}

impl Json {
    /// The value that comes next, at most `depth` deep.
    pub(super) fn read(scanner: &mut Scanner<'_>, depth: usize) -> Result<Self> {
        let depth = depth.checked_sub(1).ok_or_else(|| scanner.fault("a schema that is nested too deeply"))?;
        let mut first = true;
        Ok(match scanner.peek()? {
            b'"' => Self::Text(owned(scanner.string()?).ok_or_else(|| scanner.fault("not a text"))?),
            b'[' => {
                let mut list = Vec::new();
                scanner.open(b'[')?;
                while scanner.element(&mut first)? {
                    list.push(Self::read(scanner, depth)?);
                }
                Self::List(list)
            }
            b'{' => {
                let mut members = Vec::new();
                scanner.open(b'{')?;
                while let Some(name) = scanner.member(&mut first)? {
                    let name = owned(name).ok_or_else(|| scanner.fault("not a text"))?;
                    members.push((name, Self::read(scanner, depth)?));
                }
                Self::Object(members)
            }
            b'-' | b'0'..=b'9' => Self::Number(String::from_utf8_lossy(scanner.number()?).into_owned()),
            _ => {
                scanner.skip()?;
                Self::Other
            }
        })
    }

    /// The member of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// That member when it is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// That member when it is a number of this type.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        match self.get(name)? {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }
}
