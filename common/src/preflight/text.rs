//! What a sample's bytes are, before they are records: how text is encoded, how lines end. Never
//! converts anything.

/// Bytes that are looked at to tell UTF-16 without a mark, and binary files.
const HEAD_BYTES: usize = 64 << 10;

/// How text is encoded, as far as a sample shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf8Mark,
    Utf16Le,
    Utf16Be,
    Latin1,
    Binary,
}

impl Encoding {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf8Mark => "utf-8-bom",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::Latin1 => "latin-1",
            Self::Binary => "binary",
        }
    }

    /// Of a sample, which may end within a character.
    pub(super) fn of(sample: &[u8]) -> Self {
        match sample {
            [0xff, 0xfe, ..] => return Self::Utf16Le,
            [0xfe, 0xff, ..] => return Self::Utf16Be,
            _ => {}
        }
        let head = &sample[..sample.len().min(HEAD_BYTES)];
        if let Some(wide) = utf16(head) {
            return wide;
        }
        // Text has no other control characters than these, bar a few; files that are none have many.
        let odd =
            |byte: &&u8| **byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
        let controls = head.iter().filter(odd).count();
        if head.contains(&0) || controls * 100 > head.len() {
            return Self::Binary;
        }
        let whole = match std::str::from_utf8(sample) {
            Ok(_) => true,
            // No length: the character may go on where the sample ends.
            Err(error) => error.error_len().is_none(),
        };
        match (whole, sample.starts_with(b"\xef\xbb\xbf")) {
            (true, true) => Self::Utf8Mark,
            (true, false) => Self::Utf8,
            (false, _) => Self::Latin1,
        }
    }
}

/// UTF-16 without a mark: text of mostly Latin letters has a zero in nearly every other byte.
fn utf16(head: &[u8]) -> Option<Encoding> {
    let pairs = head.len() / 2;
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let (first, second) = (zeros(0), zeros(1));
    let most = |n: usize| pairs >= 2 && n * 10 >= pairs * 7;
    let few = |n: usize| n * 10 <= pairs;
    match () {
        () if most(second) && few(first) => Some(Encoding::Utf16Le),
        () if most(first) && few(second) => Some(Encoding::Utf16Be),
        () => None,
    }
}

/// How lines end: `lf`, `crlf`, `cr` or `mixed`; `lf` where none does.
pub(super) fn line_end(sample: &[u8]) -> &'static str {
    let (mut lf, mut crlf, mut cr) = (0u64, 0u64, 0u64);
    let mut last = None;
    for at in memchr::memchr2_iter(b'\r', b'\n', sample) {
        match sample[at] {
            b'\r' if sample.get(at + 1) == Some(&b'\n') => crlf += 1,
            // What follows is not known.
            b'\r' if at + 1 == sample.len() => {}
            b'\r' => cr += 1,
            _ if at > 0 && last == Some(at - 1) && sample[at - 1] == b'\r' => {}
            _ => lf += 1,
        }
        last = Some(at);
    }
    match (lf > 0, crlf > 0, cr > 0) {
        (_, false, false) => "lf",
        (false, true, false) => "crlf",
        (false, false, true) => "cr",
        _ => "mixed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_apart() {
        let wide = |text: &str, big: bool| -> Vec<u8> {
            let units = text.encode_utf16();
            units
                .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect()
        };
        let text = "Song,Date,Number of Plays\nCafé,2020-01-01,1\n";
        for (bytes, encoding) in [
            (text.as_bytes().to_vec(), Encoding::Utf8),
            (text.as_bytes()[..30].to_vec(), Encoding::Utf8),
            (format!("\u{feff}{text}").into_bytes(), Encoding::Utf8Mark),
            (wide(text, false), Encoding::Utf16Le),
            (wide(text, true), Encoding::Utf16Be),
            (wide("\u{feff}日本", true), Encoding::Utf16Be),
            (b"Song\nCaf\xe9,1\n".to_vec(), Encoding::Latin1),
            (b"PK\x03\x04\x14\x00\x06\x00\x08".to_vec(), Encoding::Binary),
            (b"%PDF\x01\x02\x03\x04\x05".to_vec(), Encoding::Binary),
            (Vec::new(), Encoding::Utf8),
        ] {
            assert_eq!(Encoding::of(&bytes), encoding, "{bytes:?}");
        }
        // A character that the sample's end has cut in two.
        let cut = text.find('é').unwrap() + 1;
        assert_eq!(Encoding::of(&text.as_bytes()[..cut]), Encoding::Utf8);
    }

    #[test]
    fn line_ends_are_told_apart() {
        for (text, end) in [
            ("a\nb\n", "lf"),
            ("a\r\nb\r\n", "crlf"),
            ("a\rb\r", "cr"),
            ("a\r\nb\n", "mixed"),
            ("a\n\rb", "mixed"),
            ("a", "lf"),
            ("", "lf"),
        ] {
            assert_eq!(line_end(text.as_bytes()), end, "{text:?}");
        }
    }
}
