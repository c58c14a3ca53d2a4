//! Patterns over names. A shell pattern is read as Python's `fnmatch.fnmatchcase` does: `*`, `?`, `[abc]`, `[!a-z]`; `*`
//! crosses dots. Between slashes stands a regular expression for the whole name, in any case. `!` before a pattern leaves
//! out what it matches, whatever else does.

use crate::error::{Error, Result};
use crate::pattern::Pattern;

/// Patterns of which one must match, and none that leaves out.
#[derive(Clone, Debug, Default)]
pub struct Globs {
    wanted: Vec<Glob>,
    unwanted: Vec<Glob>,
}

#[derive(Clone, Debug)]
enum Glob {
    Shell(Vec<char>),
    Expression(Pattern),
}

impl Globs {
    /// Read patterns.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no regular expression.
    pub fn new(patterns: &[String]) -> Result<Self> {
        let mut globs = Self::default();
        for pattern in patterns {
            match pattern.strip_prefix('!') {
                Some(pattern) => globs.unwanted.push(Glob::parse(pattern)?),
                None => globs.wanted.push(Glob::parse(pattern)?),
            }
        }
        Ok(globs)
    }

    /// Whether the patterns mean the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let letters: Vec<char> = name.chars().collect();
        let found = |globs: &[Glob], undecided| globs.iter().any(|glob| glob.matches(name, &letters, undecided));
        found(&self.wanted, false) && !found(&self.unwanted, true)
    }
}

impl Glob {
    fn parse(pattern: &str) -> Result<Self> {
        match pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some(expression) => Pattern::parse(expression).map(Self::Expression).map_err(Error::Usage),
            None => Ok(Self::Shell(pattern.chars().collect())),
        }
    }

    fn matches(&self, name: &str, letters: &[char], undecided: bool) -> bool {
        match self {
            Self::Shell(pattern) => matches(pattern, letters),
            Self::Expression(pattern) => pattern.matches(name, undecided),
        }
    }
}

/// Linear in pattern times name: only the last star is ever tried again.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(&pattern[p..], name[n]),
            Some(letter) => (*letter == name[n]).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(step), _) => (p, n) = (p + step, n + 1),
            (None, Some((after, from))) => {
                (p, n) = (after, from + 1);
                star = Some((after, n));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

/// Length of the class at the start of `pattern` when `letter` is in it; an unclosed bracket is a letter like any other.
fn class(pattern: &[char], letter: char) -> Option<usize> {
    let negated = pattern.get(1) == Some(&'!');
    let first = if negated { 2 } else { 1 };
    // A closing bracket that comes first belongs to the class.
    let Some(end) = (first + 1..pattern.len()).find(|at| pattern[*at] == ']') else {
        return (letter == '[').then_some(1);
    };
    let mut inside = false;
    let mut at = first;
    while at < end {
        if at + 2 < end && pattern[at + 1] == '-' {
            inside |= (pattern[at]..=pattern[at + 2]).contains(&letter);
            at += 3;
        } else {
            inside |= pattern[at] == letter;
            at += 1;
        }
    }
    (inside != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        let one = |pattern: &str, name: &str| Globs::new(&[pattern.to_owned()]).unwrap().matches(name);
        for (pattern, name) in [
            ("public.orders", "public.orders"),
            ("public.order_*", "public.order_items"),
            ("*.note", "public.orders.note"),
            ("*", ""),
            ("a?c", "aéc"),
            ("[a-c]x[!0-9]", "bxy"),
            ("[]]", "]"),
            ("[", "["),
            ("*a*b", "xaxxab"),
            ("[!]a]", "b"),
        ] {
            assert!(one(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("public.orders", "public.orders2"),
            ("a?c", "ac"),
            ("[a-c]", "d"),
            ("[!a]", "a"),
            ("", "x"),
            ("*a", "ab"),
            ("Public.*", "public.x"),
        ] {
            assert!(!one(pattern, name), "{pattern} {name}");
        }
        assert!(!one(&"*a".repeat(40), &"a".repeat(39)));
    }

    #[test]
    fn expressions_and_exceptions() {
        let globs = Globs::new(&["/public\\.order_\\d+/".into(), "a.*".into(), "!a.x*".into()]).unwrap();
        let found = |name: &str| globs.matches(name);
        assert!(found("public.order_12") && found("PUBLIC.ORDER_1") && found("a.b"));
        assert!(!found("public.order_") && !found("xpublic.order_1") && !found("a.xy"));
        assert!(matches!(Globs::new(&["/(/".into()]), Err(Error::Usage(_))));
    }
}
