//! What a field says, once its quotes are taken off.

use memchr::memchr;

/// The value of a field from its bytes between separators: quotes around it taken off, doubled ones
/// in it made single, what follows a closing quote kept as it stands. Copies to `scratch` (replacing
/// what it held) only where the value is not a part of the field.
#[inline]
pub fn unquote<'a>(field: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    match field {
        [b'"', inner @ ..] => match memchr(b'"', inner) {
            None => inner,
            Some(close) if close + 1 == inner.len() => &inner[..close],
            Some(_) => {
                scratch.clear();
                append_unquoted(inner, scratch);
                scratch
            }
        },
        _ => field,
    }
}

/// Appends the value of a quoted field; `inner` is what follows its opening quote.
#[cold]
pub fn append_unquoted(inner: &[u8], out: &mut Vec<u8>) {
    let mut rest = inner;
    while let Some(quote) = memchr(b'"', rest) {
        out.extend_from_slice(&rest[..quote]);
        rest = &rest[quote + 1..];
        if rest.first() != Some(&b'"') {
            // It was the closing one: quotes from here on are bytes like any other.
            break;
        }
        out.push(b'"');
        rest = &rest[1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_undone_up_to_the_closing_one() {
        for (field, value) in [
            ("a\"b", "a\"b"),
            (r#""""#, ""),
            (r#""a""#, "a"),
            (r#""a""b""#, r#"a"b"#),
            (r#"""""#, r#"""#),
            (r#""a"b"#, "ab"),
            (r#""a"b"c""#, r#"ab"c""#),
            (r#""a"#, "a"),
            ("\"", ""),
        ] {
            let mut scratch = Vec::new();
            assert_eq!(unquote(field.as_bytes(), &mut scratch), value.as_bytes(), "{field}");
        }
    }
}
