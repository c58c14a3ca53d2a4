//! Regular expressions as Debezium takes them: anchored, in any case, several with commas between. Java's syntax as far as
//! the `fancy-regex` crate has it: look-around, atomic groups and back references included.

use fancy_regex::{Captures, Regex, RegexBuilder};

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
        let built = |text: &str| RegexBuilder::new(text).case_insensitive(any_case).build();
        // On its own first: what closes a group that it did not open is no expression.
        let whole = built(text).and_then(|_| built(&format!(r"\A(?:{text})\z")));
        let whole = whole.map_err(|error| format!("{text:?} is not a regular expression: {error}"))?;
        Ok(Self { text: text.into(), whole })
    }

    /// Whether it matches the whole of `name`; `undecided` when it takes too many steps.
    #[must_use]
    pub fn matches(&self, name: &str, undecided: bool) -> bool {
        self.verdict(name).unwrap_or(undecided)
    }

    /// Whether it matches the whole of `name`; None when it takes too many steps.
    #[must_use]
    pub fn verdict(&self, name: &str) -> Option<bool> {
        self.whole.is_match(name).ok()
    }

    /// Check that [`Self::replace`] can take this replacement.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, replacement: &str) -> Result<(), String> {
        self.expand(None, replacement).map(drop)
    }

    /// `replacement` with the groups of the expression in it, if it matches the whole of `name`: `$1` and `${name}` are
    /// groups, `\` takes what follows as it is.
    #[must_use]
    pub fn replace(&self, name: &str, replacement: &str) -> Option<String> {
        let groups = self.whole.captures(name).ok().flatten()?;
        self.expand(Some(&groups), replacement).ok()
    }

    fn expand(&self, found: Option<&Captures<'_, str>>, replacement: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = replacement.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '\\' => out.push(rest.next().ok_or("it ends in a backslash")?),
                '$' if rest.peek() == Some(&'{') => {
                    let name: String = rest.by_ref().skip(1).take_while(|next| *next != '}').collect();
                    if !self.whole.capture_names().flatten().any(|known| known == name) {
                        return Err(format!("the pattern has no group {name:?}"));
                    }
                    out.push_str(found.and_then(|found| found.name(&name)).map_or("", |group| group.as_str()));
                }
                '$' => {
                    // As Java: the first digit always, a further one while there is such a group.
                    let digit = |next: char| next.to_digit(10).map(|digit| digit as usize);
                    let mut group = rest.next().and_then(digit).ok_or("behind $ there must be a group")?;
                    while let Some(next) = rest.peek().copied().and_then(digit) {
                        if group * 10 + next >= self.whole.captures_len() {
                            break;
                        }
                        group = group * 10 + next;
                        rest.next();
                    }
                    if group >= self.whole.captures_len() {
                        return Err(format!("the pattern has no group {group}"));
                    }
                    out.push_str(found.and_then(|found| found.get(group)).map_or("", |group| group.as_str()));
                }
                _ => out.push(next),
            }
        }
        Ok(out)
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
        let of = |pattern: &str, replacement: &str, text: &str| {
            let pattern = Pattern::parse_exact(pattern)?;
            pattern.check(replacement).map(|()| pattern.replace(text, replacement))
        };
        assert_eq!(of("(.)(.)", "$21$1\\$", "ab"), Ok(Some("b1a$".into())));
        assert_eq!(of("(?<name>a+)b", "${name}", "aab"), Ok(Some("aa".into())));
        assert_eq!(of("a", "b", "aa"), Ok(None));
        for (pattern, replacement) in [("a", "$1"), ("a", "$x"), ("a", "${b}"), ("a", "\\"), ("a)(b", "x")] {
            assert!(of(pattern, replacement, "a").is_err(), "{pattern} {replacement}");
        }
    }
}
