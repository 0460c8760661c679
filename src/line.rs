//! Text of others as one line of ours.
//!
//! In: any text. Out: one line that is fit for a terminal and a log, of bounded length.
//! Never: judges what it says. Fails: not at all.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

/// Free of control characters and of what reorders a terminal's text, and at most so many characters.
#[must_use]
pub fn one_line(text: &str, max_chars: usize) -> String {
    // Nearly every text is plain and short.
    if text.len() <= max_chars && text.bytes().all(|c| matches!(c, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut line: String = text.chars().take(max_chars).map(|c| if unprintable(c) { ' ' } else { c }).collect();
    if text.chars().nth(max_chars).is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// Control characters, and the invisible ones that split or reorder a line.
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The same within so many bytes.
#[must_use]
pub fn one_line_bytes(text: &str, max_bytes: usize) -> String {
    let mut chars = text.chars().count().min(max_bytes);
    loop {
        let line = one_line(text, chars);
        if line.len() <= max_bytes {
            return line;
        }
        chars -= (line.len() - max_bytes).div_ceil(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_control_characters_and_an_end() {
        assert_eq!(one_line("a\nb\u{1b}[31m\u{85}\u{202e}", 99), "a b [31m  ");
        assert_eq!(one_line("abcdef", 4), "abc…");
        assert_eq!(one_line("abcd", 4), "abcd");
    }
}
