//! Regular expressions as Debezium takes them: anchored, in any case, several with commas between. Java's syntax as far as
//! the `fancy-regex` crate has it: look-around, atomic groups and back references included.

use fancy_regex::{Regex, RegexBuilder};

/// A list of expressions.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<Pattern>);

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Patterns {
    /// Read a list; a comma within an expression is written `\,`.
    ///
    /// # Errors
    /// Which expression is none, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        split(text).iter().map(|one| Pattern::parse(one)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one matches the whole of `name`. An expression that takes too many steps counts as `undecided`.
    #[must_use]
    pub fn matches(&self, name: &str, undecided: bool) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name, undecided))
    }
}

/// One expression.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    whole: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// Read one.
    ///
    /// # Errors
    /// Why it is no expression.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::build(text, true)
    }

    /// Read one for which case counts.
    ///
    /// # Errors
    /// Why it is no expression.
    pub fn parse_exact(text: &str) -> Result<Self, String> {
        Self::build(text, false)
    }

    fn build(text: &str, any_case: bool) -> Result<Self, String> {
        let whole = RegexBuilder::new(&format!(r"\A(?:{text})\z")).case_insensitive(any_case).build();
        let whole = whole.map_err(|error| format!("{text:?} is not a regular expression: {error}"))?;
        Ok(Self { text: text.into(), whole })
    }

    /// Whether it matches the whole of `name`; `undecided` when it takes too many steps.
    #[must_use]
    pub fn matches(&self, name: &str, undecided: bool) -> bool {
        self.whole.is_match(name).unwrap_or(undecided)
    }

    /// `replacement` with the groups of the expression in it, if it matches the whole of `name`. `$1` is a group, `\` takes
    /// what follows as it is.
    #[must_use]
    pub fn replace(&self, name: &str, replacement: &str) -> Option<String> {
        let groups = self.whole.captures(name).ok().flatten()?;
        let mut out = String::new();
        let mut rest = replacement.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '\\' => out.extend(rest.next()),
                '$' => {
                    // As Java: the first digit always, a further one while there is such a group.
                    let mut group = 0;
                    let mut digits = 0;
                    while let Some(digit) = rest.peek().and_then(|next| next.to_digit(10)) {
                        let wider = group * 10 + digit as usize;
                        if digits > 0 && wider >= groups.len() {
                            break;
                        }
                        (group, digits) = (wider, digits + 1);
                        rest.next();
                    }
                    out.push_str(groups.get(group).map_or("", |found| found.as_str()));
                }
                _ => out.push(next),
            }
        }
        Some(out)
    }
}

/// Cut a list at its commas; `\,` is a comma.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            ',' => parts.push(std::mem::take(&mut part)),
            '\\' => match rest.next() {
                Some(',') => part.push(','),
                Some(other) => part.extend(['\\', other]),
                None => part.push('\\'),
            },
            _ => part.push(next),
        }
    }
    parts.push(part);
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_anchored_and_know_no_case() {
        let list = Patterns::parse(r"public\.a.*, (?!x)b{1\,2} ,").unwrap();
        let found = |name: &str| list.matches(name, false);
        assert!(found("PUBLIC.abc") && found("b") && found("bb") && !found("bbb") && !found("xpublic.a"));
        assert!(!Patterns::parse("").unwrap().matches("", false));
    }

    #[test]
    fn a_wrong_expression_is_told() {
        assert!(Patterns::parse("a,(b").unwrap_err().starts_with("\"(b\" is not a regular expression: "));
    }

    #[test]
    fn an_expression_without_end_is_undecided() {
        let list = Patterns::parse(r"(?:(?=a)(?:a|aa))+(b)\1").unwrap();
        let name = "a".repeat(200);
        assert!(list.matches(&name, true) && !list.matches(&name, false));
    }

    #[test]
    fn replacements_are_as_in_java() {
        let pattern = Pattern::parse(r"(.*)\.k(\d*)").unwrap();
        assert_eq!(pattern.replace("shop.k12", "$1.keys$22\\$").as_deref(), Some("shop.keys122$"));
        assert_eq!(pattern.replace("shop.x", "$1"), None);
    }
}
