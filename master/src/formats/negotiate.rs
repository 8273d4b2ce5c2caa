//! Which form of a result a client gets: what it names in the query, else what it likes best of what
//! it accepts (RFC 9110, section 12).

use super::{Coding, Format};

/// A thousand times a weight: they have three decimals.
type Weight = u16;

/// The form of a name.
pub(crate) fn by_name(name: &str) -> Option<Format> {
    Format::ALL.into_iter().find(|format| format.name() == name)
}

/// What a client likes best of what there is, by its `Accept`; CSV where it does not say. `None` where
/// there is nothing for it.
pub(crate) fn by_accept(accept: Option<&str>) -> Option<Format> {
    let accept = accept.map(str::trim).filter(|accept| !accept.is_empty());
    let Some(accept) = accept else { return Some(Format::Csv) };
    let ranges: Vec<_> = accept.split(',').filter_map(weighed).collect();
    let built = Format::ALL.into_iter().filter(|format| format.is_built());
    best(built.map(|format| (format, weight_of(format, &ranges))))
}

/// The first of those with the largest weight, if that is any.
fn best<T>(candidates: impl Iterator<Item = (T, Weight)>) -> Option<T> {
    let mut best: Option<(T, Weight)> = None;
    for (candidate, weight) in candidates {
        if weight > best.as_ref().map_or(0, |(_, weight)| *weight) {
            best = Some((candidate, weight));
        }
    }
    best.map(|(candidate, _)| candidate)
}

/// How a client likes a form: by the most specific of its ranges that fits.
fn weight_of(format: Format, ranges: &[(String, Weight)]) -> Weight {
    let names: &[&str] = match format {
        Format::Csv => &["text/csv"],
        Format::CsvGz => &["application/gzip", "application/x-gzip"],
        Format::JsonLines => {
            &["application/x-ndjson", "application/jsonl", "application/x-jsonlines"]
        }
        Format::Arrow => &["application/vnd.apache.arrow.stream"],
        Format::Parquet => &["application/vnd.apache.parquet"],
    };
    let specific = |range: &str| match range {
        "*/*" | "*" => Some(0),
        _ if names.contains(&range) => Some(2),
        _ => {
            let (kind, all) = range.split_once('/')?;
            (all == "*" && names[0].split('/').next() == Some(kind)).then_some(1)
        }
    };
    let fitting = ranges.iter().filter_map(|(range, weight)| Some((specific(range)?, *weight)));
    fitting.max_by_key(|(specific, _)| *specific).map_or(0, |(_, weight)| weight)
}

/// A member of a list with its weight: `name;q=0.5`. One that makes no sense is not there.
fn weighed(member: &str) -> Option<(String, Weight)> {
    let mut parts = member.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let mut weight = 1000;
    for parameter in parts {
        let Some((key, value)) = parameter.split_once('=') else { continue };
        if key.trim().eq_ignore_ascii_case("q") {
            let value: f32 = value.trim().parse().ok()?;
            if !(0.0..=1.0).contains(&value) {
                return None;
            }
            weight = (value * 1000.0).round() as Weight;
        }
    }
    (!name.is_empty()).then_some((name, weight))
}

/// How to compress what is sent: as the client likes best of what is named in its `Accept-Encoding`.
pub(crate) fn coding(accept_encoding: Option<&str>) -> Coding {
    let members: Vec<_> =
        accept_encoding.unwrap_or_default().split(',').filter_map(weighed).collect();
    // What is not named is not sent: compressing costs time, and not every client that says `*` means it.
    let weight = |coding: Coding| {
        let names: &[&str] = match coding {
            Coding::Gzip => &["gzip", "x-gzip"],
            _ => &[coding.name()],
        };
        let named = members.iter().find(|(name, _)| names.contains(&name.as_str()));
        named.map_or(0, |(_, weight)| *weight)
    };
    let codings = [Coding::Zstd, Coding::Gzip, Coding::Identity];
    best(codings.into_iter().map(|coding| (coding, weight(coding)))).unwrap_or(Coding::Identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_they_like_best() {
        for (accept, format) in [
            ("", Some(Format::Csv)),
            ("*/*", Some(Format::Csv)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            ("application/*", Some(Format::JsonLines)),
            ("application/x-ndjson, text/csv;q=0.9", Some(Format::JsonLines)),
            ("application/x-ndjson;q=0.2, text/csv;q=0.9", Some(Format::Csv)),
            ("Application/GZIP", Some(Format::CsvGz)),
            ("text/csv;q=0, */*", Some(Format::JsonLines)),
            ("*/*;q=0.1, text/csv;q=0.05", Some(Format::JsonLines)),
            ("text/csv;charset=utf-8;header=present", Some(Format::Csv)),
            ("text/csv;q=0", None),
            ("text/csv;q=nonsense", None),
            ("application/json", None),
            ("image/png", None),
        ] {
            assert_eq!(by_accept(Some(accept)), format, "{accept:?}");
        }
        assert_eq!(by_accept(None), Some(Format::Csv));
        let parquet = by_accept(Some("application/vnd.apache.parquet"));
        assert_eq!(parquet, cfg!(feature = "columnar").then_some(Format::Parquet));
        for format in Format::ALL {
            assert_eq!(by_name(format.name()), Some(format));
        }
        assert_eq!(by_name("xlsx"), None);
    }

    #[test]
    fn what_is_sent_is_compressed_only_where_that_is_asked_for() {
        for (accept, coding_) in [
            (None, Coding::Identity),
            (Some(""), Coding::Identity),
            (Some("*"), Coding::Identity),
            (Some("gzip, deflate, br, zstd"), Coding::Zstd),
            (Some("gzip, deflate, br"), Coding::Gzip),
            (Some("gzip;q=1.0, zstd;q=0.5"), Coding::Gzip),
            (Some("identity, gzip;q=0.5"), Coding::Identity),
            (Some("gzip;q=0"), Coding::Identity),
            (Some("br"), Coding::Identity),
        ] {
            assert_eq!(coding(accept), coding_, "{accept:?}");
        }
    }
}
