//! Which part of a file is asked for, and whether it is there already (RFC 9110, sections 13 and 14).

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    All,
    /// At least one byte.
    Part(Range<u64>),
    /// A part that there is none of.
    Nothing,
}

/// Whether the client has what it asks for, as its `If-None-Match` says.
pub(in crate::gateway) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let mut values = headers.get_all(header::IF_NONE_MATCH).iter();
    values.any(|value| {
        let mut tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
    })
}

/// The part of a file of `size` bytes that a request asks for. Of several parts at once all is sent,
/// as of a file that is another one than the client had begun with (`If-Range`).
pub(super) fn range(headers: &HeaderMap, tag: Option<&str>, size: u64) -> Asked {
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some(range) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Asked::All;
    };
    if let Some(begun) = headers.get(header::IF_RANGE)
        && tag.is_none_or(|tag| begun.as_bytes() != tag.as_bytes())
    {
        return Asked::All;
    }
    if range.contains(',') {
        return Asked::All;
    }
    match part(range.trim(), size) {
        Some(part) if part.start < part.end => Asked::Part(part),
        _ => Asked::Nothing,
    }
}

/// `FIRST-LAST`, `FIRST-` or `-HOW MANY AT THE END`. `None` where it is none of these.
fn part(range: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = range.split_once('-')?;
    let digits = |text: &str| -> Option<u64> {
        let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // What does not fit is beyond any file.
        all.then(|| text.parse().unwrap_or(u64::MAX))
    };
    if first.is_empty() {
        return Some(size.saturating_sub(digits(last)?)..size);
    }
    let first = digits(first)?;
    let end = match last {
        "" => size,
        last => digits(last).filter(|last| *last >= first)?.saturating_add(1),
    };
    Some(first..end.min(size))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(named: &[(header::HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in named {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn parts_are_within_the_file() {
        for (text, asked) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=3-5", Asked::Part(3..6)),
            ("bytes=3-", Asked::Part(3..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-30", Asked::Part(0..10)),
            ("bytes=9-99999999999999999999999", Asked::Part(9..10)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=99999999999999999999999-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=5-3", Asked::Nothing),
            ("bytes=", Asked::Nothing),
            ("bytes=-", Asked::Nothing),
            ("bytes=+1-2", Asked::Nothing),
            ("bytes=3-921-p", Asked::Nothing),
            ("bytes=0-1,3-4", Asked::All),
            ("lines=1-2", Asked::All),
        ] {
            assert_eq!(range(&headers(&[(header::RANGE, text)]), None, 10), asked, "{text}");
        }
        assert_eq!(range(&headers(&[(header::RANGE, "bytes=0-")]), None, 0), Asked::Nothing);
        assert_eq!(range(&HeaderMap::new(), None, 10), Asked::All);
    }

    #[test]
    fn a_part_is_only_sent_of_the_file_that_was_begun_with() {
        let ask = |begun| {
            let headers = headers(&[(header::RANGE, "bytes=1-2"), (header::IF_RANGE, begun)]);
            range(&headers, Some("\"a\""), 10)
        };
        assert_eq!(ask("\"a\""), Asked::Part(1..3));
        for other in ["\"b\"", "W/\"a\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(ask(other), Asked::All, "{other}");
        }
    }

    #[test]
    fn what_the_client_has_is_known_by_its_tag() {
        for (value, known) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            let headers = headers(&[(header::IF_NONE_MATCH, value)]);
            assert_eq!(is_known(&headers, "\"a\""), known, "{value}");
        }
        assert!(!is_known(&HeaderMap::new(), "\"a\""));
    }
}
