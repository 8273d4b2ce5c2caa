//! Prometheus's text format, read strictly: whatever a scraper might stumble over fails the test.

use std::collections::{BTreeMap, BTreeSet};

/// A family of metrics.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    /// Each sample: the suffix of its name, its labels, its value.
    pub(crate) samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

/// All that one scrape gives.
#[derive(Debug)]
pub(crate) struct Scrape(pub(crate) BTreeMap<String, Family>);

impl Scrape {
    /// Reads the text.
    ///
    /// # Panics
    /// Where it is not what it should be.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut help: Option<(String, String)> = None;
        let mut at: Option<String> = None;
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, text) = rest.split_once(' ').expect("a name and a text");
                assert!(!text.is_empty() && help.is_none(), "{line}");
                help = Some((name.to_owned(), text.to_owned()));
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                let (of, help) = help.take().expect("HELP before TYPE");
                assert_eq!(of, name, "HELP and TYPE of the same");
                let (kind, samples) = (kind.to_owned(), Vec::new());
                let before = families.insert(name.to_owned(), Family { kind, help, samples });
                assert!(before.is_none(), "{name} comes twice");
                at = Some(name.to_owned());
            } else {
                assert!(!line.starts_with('#'), "{line}");
                assert!(seen.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "twice: {line}");
                let name = at.as_ref().expect("TYPE before samples");
                let family = families.get_mut(name).unwrap();
                family.samples.push(sample(line, name, &family.kind));
            }
        }
        for (name, family) in &families {
            assert!(!family.samples.is_empty(), "{name} has no samples");
            family.check(name);
        }
        Self(families)
    }

    /// The sum of all samples of a name whose labels are among others these.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let family = self.0.get(name);
        let (family, suffix) = match family {
            Some(family) => (family, ""),
            None => {
                let (name, suffix) = name.rsplit_once('_').expect("it may be a histogram's");
                (self.0.get(name).unwrap_or_else(|| panic!("no {name}")), suffix)
            }
        };
        let fits = |found: &BTreeMap<String, String>| {
            labels.iter().all(|(name, value)| found.get(*name).is_some_and(|found| found == value))
        };
        let fitting = family.samples.iter().filter(|(of, found, _)| of == suffix && fits(found));
        fitting.map(|(.., value)| value).sum()
    }
}

impl Family {
    fn check(&self, name: &str) {
        for (suffix, labels, value) in &self.samples {
            assert!(value.is_finite(), "{name} {labels:?} {value}");
            if self.kind != "gauge" {
                assert!(*value >= 0.0, "{name}_{suffix} {labels:?} {value}");
            }
        }
        if self.kind != "histogram" {
            return;
        }
        let mut series: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        for (_, labels, value) in self.samples.iter().filter(|(suffix, ..)| suffix == "bucket") {
            let mut labels = labels.clone();
            let bound = labels.remove("le").expect("a bucket has a bound");
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            series.entry(labels).or_default().push((bound, *value));
        }
        let of = |suffix: &str, labels: &BTreeMap<String, String>| {
            let mut found =
                self.samples.iter().filter(|(of, found, _)| of == suffix && found == labels);
            found.next().unwrap_or_else(|| panic!("{name}_{suffix} {labels:?}")).2
        };
        for (labels, buckets) in series {
            assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {buckets:?}");
            let last = buckets.last().unwrap();
            assert_eq!((last.0, last.1), (f64::INFINITY, of("count", &labels)), "{name}");
            assert!(of("sum", &labels) >= 0.0);
        }
    }
}

/// Reads `name{label="value",…} value`.
fn sample(line: &str, family: &str, kind: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).expect("a name ends");
    let (name, rest) = line.split_at(end);
    let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
    let suffixes: &[&str] =
        if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
    assert!(suffixes.contains(&suffix), "{line}");
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest, line),
        None => (BTreeMap::new(), rest),
    };
    let value = value.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    let value = value.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
    (suffix.trim_start_matches('_').to_owned(), labels, value)
}

fn labels<'a>(mut rest: &'a str, line: &str) -> (BTreeMap<String, String>, &'a str) {
    let mut labels = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("a label's value does not end: {line}")) {
                (i, '"') => break i + 1,
                (_, '\\') => match chars.next().map(|(_, c)| c) {
                    Some('n') => value.push('\n'),
                    Some(c @ ('"' | '\\')) => value.push(c),
                    other => panic!("{other:?} is no escape: {line}"),
                },
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{line}");
        rest = &after[end..];
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        rest = rest.strip_prefix(',').unwrap_or_else(|| panic!("{line}"));
    }
}
