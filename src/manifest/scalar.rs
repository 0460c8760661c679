//! What a scalar of YAML is, as kubectl reads it: YAML 1.1 by the rules of go-yaml v2, which is what decides what an API
//! server is sent. Only the digits of a number stay, where kubectl rounds.

use k8s_openapi::ByteString;

/// A scalar's value, numbers as JSON writes them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Integer(String),
    Float(String),
    Text(String),
}

/// The type that a scalar is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// Plain and without a tag: it is what it looks like.
    Nothing,
    /// Quoted, a block, or of a tag of somebody's own.
    Text,
    /// A tag of YAML's.
    Tag(&'a str),
}

/// The value of a scalar, or why it has none.
pub(super) fn resolve(text: &str, said: Said<'_>) -> Result<Scalar, String> {
    let tag = match said {
        Said::Nothing => return of_looks(text),
        Said::Text => return Ok(Scalar::Text(text.to_owned())),
        Said::Tag(tag) => tag,
    };
    match (tag, of_looks(text)) {
        ("binary", _) => from_base64(text),
        ("null" | "bool" | "int" | "float", Err(problem)) => Err(problem),
        ("null", Ok(Scalar::Null)) => Ok(Scalar::Null),
        ("bool", Ok(found @ Scalar::Bool(_))) => Ok(found),
        ("int", Ok(found @ Scalar::Integer(_))) => Ok(found),
        ("float", Ok(Scalar::Integer(number) | Scalar::Float(number))) => Ok(Scalar::Float(number)),
        ("null" | "bool" | "int" | "float", Ok(_)) => Err(format!("{text:?} is no !!{tag}")),
        _ => Ok(Scalar::Text(text.to_owned())),
    }
}

fn from_base64(text: &str) -> Result<Scalar, String> {
    let text: String = text.split_whitespace().collect();
    let bytes = serde_json::from_value::<ByteString>(text.into()).map_err(|_| "!!binary is not base64".to_owned())?;
    String::from_utf8(bytes.0).map(Scalar::Text).map_err(|_| "!!binary is no text, which JSON cannot say".to_owned())
}

fn of_looks(text: &str) -> Result<Scalar, String> {
    let word = match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Scalar::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => Some(Scalar::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            Some(Scalar::Bool(false))
        }
        _ => None,
    };
    if let Some(word) = word {
        return Ok(word);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} is a number that JSON cannot say; quote it if it is text"));
    }
    // A point in front is a case of its own: there go-yaml takes underscores only between digits.
    let looks = match text.bytes().next() {
        Some(b'0'..=b'9' | b'+' | b'-') => true,
        Some(b'.') => !unsigned.starts_with("._") && !unsigned.ends_with('_') && !unsigned.contains("__"),
        _ => false,
    };
    let number = || {
        let plain = text.replace('_', "");
        integer(&plain).map(Scalar::Integer).or_else(|| decimal(&plain).map(Scalar::Float)).or_else(|| binary(&plain))
    };
    Ok(looks.then(number).flatten().unwrap_or_else(|| Scalar::Text(text.to_owned())))
}

/// Of any base that Go writes integers in; with 64 bits.
fn integer(plain: &str) -> Option<String> {
    let (sign, digits) = match plain.strip_prefix(['+', '-']) {
        Some(rest) => (&plain[..1], rest),
        None => ("", plain),
    };
    let lower = digits.to_ascii_lowercase();
    let based = [("0b", 2), ("0o", 8), ("0x", 16), ("0", 8)]
        .into_iter()
        .find_map(|(prefix, base)| lower.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(|rest| (rest, base)));
    let (digits, base) = based.unwrap_or((&lower, 10));
    if !digits.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), base)
        .map(|number| number.to_string())
        .or_else(|_| {
            u64::from_str_radix(if sign.is_empty() { digits } else { "" }, base).map(|number| number.to_string())
        })
        .ok()
}

/// go-yaml's own way to binary numbers, which takes a sign where nobody would write one.
fn binary(plain: &str) -> Option<Scalar> {
    let digits = plain.strip_prefix("0b")?;
    i64::from_str_radix(digits, 2).ok().map(|number| Scalar::Integer(number.to_string()))
}

/// In digits, with a fraction or an exponent or too long for 64 bits; as JSON writes it, and where it is a whole number as
/// one.
fn decimal(plain: &str) -> Option<String> {
    let (sign, unsigned) = match plain.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", plain.strip_prefix('+').unwrap_or(plain)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    let power = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    if !digits(whole)
        || !digits(fraction)
        || whole.is_empty() && fraction.is_empty()
        || power.is_some_and(|power| power.is_empty() || !digits(power))
    {
        return None;
    }
    let value: f64 = unsigned.parse().ok().filter(|value: &f64| value.is_finite())?;
    if value == 0.0 {
        return Some("0".to_owned());
    }
    if exponent.is_some() && value.fract() == 0.0 && value < 1e21 {
        return Some(format!("{sign}{value}"));
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = if digits(fraction) && fraction.bytes().all(|c| c == b'0') { "" } else { fraction };
    let point = if fraction.is_empty() { "" } else { "." };
    let exponent = exponent.map(|exponent| format!("e{exponent}")).unwrap_or_default();
    Some(format!("{sign}{whole}{point}{fraction}{exponent}"))
}

/// A member's name, as kubectl makes one of a scalar.
pub(super) fn name(scalar: Scalar) -> Result<String, String> {
    match scalar {
        Scalar::Text(text) => Ok(text),
        Scalar::Bool(value) => Ok(value.to_string()),
        // kubectl takes none that is larger.
        Scalar::Integer(number) if number.parse::<i64>().is_ok() => Ok(number),
        // kubectl rounds to 32 bits: only where that is what was written is it clear what is meant.
        Scalar::Float(number)
            if number.len() <= 7 && number.parse::<f32>().is_ok_and(|value| value.to_string() == number) =>
        {
            Ok(number)
        }
        Scalar::Integer(number) | Scalar::Float(number) => Err(format!("the key {number} is a number; quote it")),
        Scalar::Null => Err("a key is null; quote it if it is text".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As kubectl 1.33 reads them: `kubectl patch --local -o json` of a ConfigMap with the scalar in it. Where it rounds, the
    /// digits are those that were written.
    const READ: [(&str, &str); 78] = [
        ("017", "15"),
        ("0o17", "15"),
        ("0x1f", "31"),
        ("1_000", "1000"),
        ("012", "10"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1e+3", "1000"),
        ("1e400", "\"1e400\""),
        ("9007199254740993", "9007199254740993"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "18446744073709551616"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("+18446744073709551615", "18446744073709551615"),
        ("0b101", "5"),
        ("-0b101", "-5"),
        ("-0x1f", "-31"),
        ("-017", "-15"),
        ("+12", "12"),
        ("+1.5", "1.5"),
        ("1.10", "1.10"),
        ("1.0", "1"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("5.", "5"),
        ("0.0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("089", "89"),
        ("08", "8"),
        ("0o8", "\"0o8\""),
        ("1:30", "\"1:30\""),
        ("2026-01-05", "\"2026-01-05\""),
        ("1_0.5", "10.5"),
        ("0x_1", "1"),
        ("0_17", "15"),
        ("1__0", "10"),
        ("_1", "\"_1\""),
        ("1_", "1"),
        ("1e-3", "1e-3"),
        ("1.5e3", "1500"),
        ("123.456789012345678901", "123.456789012345678901"),
        ("0xFFFFFFFFFFFFFFFF", "18446744073709551615"),
        ("0xFFFFFFFFFFFFFFFFF", "\"0xFFFFFFFFFFFFFFFFF\""),
        ("0777777777777777777777777", "777777777777777777777777"),
        ("0o", "\"0o\""),
        ("0x", "\"0x\""),
        (".iNf", "\".iNf\""),
        ("0X1F", "31"),
        ("0O17", "15"),
        ("+0x1f", "31"),
        ("1e", "\"1e\""),
        (".e3", "\".e3\""),
        ("1.e3", "1000"),
        ("100000000000000000000.0", "100000000000000000000"),
        ("1e21", "1e21"),
        ("1e20", "100000000000000000000"),
        ("inf", "\"inf\""),
        ("NaN", "\"NaN\""),
        ("0x1p3", "\"0x1p3\""),
        ("-", "\"-\""),
        (".", "\".\""),
        ("+-1", "\"+-1\""),
        ("-_1", "-1"),
        ("00", "0"),
        ("0", "0"),
        ("1.2.3", "\"1.2.3\""),
        ("1.e", "\"1.e\""),
        ("4.9e-325", "0"),
        ("0x-1", "\"0x-1\""),
        ("0b-1", "-1"),
        (".1_0", "0.10"),
        ("._1", "\"._1\""),
        ("y", "true"),
        ("Off", "false"),
        ("tRue", "\"tRue\""),
    ];

    fn told(scalar: Scalar) -> String {
        match scalar {
            Scalar::Null => "null".to_owned(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Integer(number) | Scalar::Float(number) => number,
            Scalar::Text(text) => serde_json::Value::from(text).to_string(),
        }
    }

    #[test]
    fn a_plain_scalar_is_what_kubectl_takes_it_for() {
        for (text, expected) in READ {
            assert_eq!(told(resolve(text, Said::Nothing).unwrap()), expected, "{text}");
            assert_eq!(told(resolve(text, Said::Text).unwrap()), serde_json::Value::from(text).to_string());
        }
        for text in [".inf", "-.Inf", "+.INF", ".nan", ".NaN"] {
            assert!(resolve(text, Said::Nothing).unwrap_err().contains("JSON cannot say"), "{text}");
        }
    }

    #[test]
    fn a_tag_says_what_a_scalar_is() {
        for (tag, text, expected) in [
            ("str", "017", "\"017\""),
            ("int", "017", "15"),
            ("float", "017", "15"),
            ("float", "1", "1"),
            ("bool", "yes", "true"),
            ("null", "", "null"),
            ("binary", "aGVsbG8=", "\"hello\""),
            ("timestamp", "2026-01-05", "\"2026-01-05\""),
        ] {
            assert_eq!(told(resolve(text, Said::Tag(tag)).unwrap()), expected, "!!{tag} {text}");
        }
        for (tag, text) in
            [("int", "1.5"), ("int", "x"), ("bool", "x"), ("null", "x"), ("binary", "//8="), ("binary", "?")]
        {
            assert!(resolve(text, Said::Tag(tag)).is_err(), "!!{tag} {text}");
        }
    }

    #[test]
    fn a_name_is_the_text_that_kubectl_makes_of_it() {
        let named = |text: &str| name(resolve(text, Said::Nothing).unwrap());
        for (text, expected) in
            [("a", "a"), ("y", "true"), ("017", "15"), ("1.5", "1.5"), ("1e3", "1000"), ("2026-01-05", "2026-01-05")]
        {
            assert_eq!(named(text).unwrap(), expected);
        }
        for text in ["1.50", "12345678901234567890", "1234567.5", "~"] {
            assert!(named(text).unwrap_err().contains("quote it"), "{text}");
        }
    }
}
