//! Bytes of a file as text, and what a text may hold that no string can: as kubectl reads both.

/// UTF-8, or UTF-16 that begins with its mark.
pub(super) fn decode(bytes: Vec<u8>) -> Result<String, &'static str> {
    let order: fn([u8; 2]) -> u16 = match bytes.get(..2) {
        Some([0xff, 0xfe]) => u16::from_le_bytes,
        Some([0xfe, 0xff]) => u16::from_be_bytes,
        _ => {
            return String::from_utf8(bytes)
                .map_err(|_| "not UTF-8, and not UTF-16 with a byte order mark; save it as UTF-8");
        }
    };
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().skip(1).map(|pair| order(*pair)).collect();
    match String::from_utf16(&units) {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err("begins as UTF-16 and is none; save it as UTF-8"),
    }
}

/// Half of a character that JSON writes as two escapes is U+FFFD to every reader in Go, the API server's among them; ours
/// would take the whole string for unreadable.
pub(super) fn without_lone_surrogates(json: String) -> String {
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let length = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 12,
            (Some(0xd800..0xe000), _) => {
                out.push_str("\\ufffd");
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            (Some(_), _) => 6,
            // The character behind it is no beginning of another one.
            (None, _) => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        let (escape, behind) = escape.split_at_checked(length).unwrap_or((escape, ""));
        out.push_str(escape);
        rest = behind;
    }
    out + rest
}

/// What `\uXXXX` in front of a text says.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|c| c.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_says_how_to_read() {
        let text = "name: x\u{e9}\u{1f600}\n";
        let units = || std::iter::once(0xfeff).chain(text.encode_utf16());
        assert_eq!(decode(units().flat_map(u16::to_le_bytes).collect()).as_deref(), Ok(text));
        assert_eq!(decode(units().flat_map(u16::to_be_bytes).collect()).as_deref(), Ok(text));
        assert_eq!(decode(text.into()).as_deref(), Ok(text));
        for bytes in [&b"\xff\xfea"[..], b"\xff\xfe\x00\xd8", b"a\xff", b"a\0\xff\0"] {
            assert!(decode(bytes.to_vec()).unwrap_err().ends_with("save it as UTF-8"));
        }
    }

    #[test]
    fn half_a_character_is_what_every_reader_in_go_takes_it_for() {
        for (json, read) in [
            (r#"["\ud800x","\ud83d\ude00"]"#, r#"["\ufffdx","\ud83d\ude00"]"#),
            (r#"["\uD800\ud800\udc00","\udc00"]"#, r#"["\ufffd\ud800\udc00","\ufffd"]"#),
            (r#"["\ud800\u0041","\\ud800","\\\ud800"]"#, r#"["\ufffd\u0041","\\ud800","\\\ufffd"]"#),
            (r#"{"\udead":"\u00e9\n"}"#, r#"{"\ufffd":"\u00e9\n"}"#),
        ] {
            assert_eq!(without_lone_surrogates(json.to_owned()), read);
            assert!(serde_json::from_str::<serde_json::Value>(read).is_ok());
        }
    }
}
