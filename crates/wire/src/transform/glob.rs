//! Shell patterns over names, as Python's `fnmatch.fnmatchcase` reads them: `*`, `?`, `[abc]`, `[!a-z]`; `*` crosses dots.

/// Patterns of which one must match.
#[derive(Clone, Debug)]
pub(super) struct Globs(Vec<Vec<char>>);

impl Globs {
    pub fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().map(|pattern| pattern.chars().collect()).collect())
    }

    /// Whether any pattern matches the whole name.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        self.0.iter().any(|pattern| matches(pattern, &name))
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
        let one = |pattern: &str, name: &str| Globs::new(&[pattern.to_owned()]).matches(name);
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
}
