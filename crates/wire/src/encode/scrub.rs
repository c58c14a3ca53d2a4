//! `scrub.invalid.names` of Confluent's converters.

/// What becomes of a name: what `URLEncoder` escapes, an underscore for each character that is no letter and no digit;
/// an `x` before a first one that is `unwelcome` there. A name that needs none of this stays.
pub fn scrubbed(name: &str, unwelcome: fn(char) -> bool) -> String {
    let sound = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.chars().all(sound) && !name.starts_with(unwelcome) {
        return name.to_owned();
    }
    let mut text = String::with_capacity(name.len() + 1);
    text.extend(name.starts_with(unwelcome).then_some('x'));
    for letter in name.chars() {
        match letter {
            _ if sound(letter) => text.push(letter),
            ' ' | '.' | '-' | '*' => text.push('_'),
            _ => {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    text.push_str(&format!("_{byte:02X}"));
                }
            }
        }
    }
    text
}
