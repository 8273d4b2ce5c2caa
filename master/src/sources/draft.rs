//! A source as people write it: a `[[source]]` of the config file, or the text of a flag. Nothing is checked
//! here but the grammar.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::config::BadSource;

/// Several of something, or one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Words {
    /// None.
    #[default]
    None,
    /// One, or several separated by commas.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl Words {
    /// One more.
    pub(super) fn add(&mut self, word: &str) {
        let mut all = self.list();
        all.push(word.to_owned());
        *self = Self::Many(all);
    }

    /// All of them.
    pub(super) fn list(&self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::One(text) => text.split(',').map(|word| word.trim().to_owned()).collect(),
            Self::Many(words) => words.clone(),
        }
    }
}

/// A number, or a text that says one with its unit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// Seconds, bytes, or just a number.
    Number(u64),
    /// With a unit.
    Text(String),
}

impl Amount {
    /// As it was written.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A source as people write it, not yet checked: a `[[source]]` of the config file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is a key of the file, explained in docs/sources.md")]
pub struct SourceDraft {
    pub name: String,
    pub kind: Option<String>,
    pub url: Option<String>,
    pub path: Option<PathBuf>,
    pub table: Option<String>,
    pub mode: Option<String>,
    pub key: Words,
    pub preset: Option<String>,
    pub group_by: Words,
    pub sum: Words,
    pub min: Words,
    pub max: Words,
    pub count: Option<String>,
    pub order: Option<String>,
    pub delimiter: Option<String>,
    pub max_rejects: Option<Amount>,
    pub interval: Option<Amount>,
    pub timeout: Option<Amount>,
    pub max_bytes: Option<Amount>,
    pub max_redirects: Option<u32>,
    pub header_env: BTreeMap<String, String>,
    pub allow_private: bool,
}

/// `name=…,url=…,table=…`: the keys of the file. A comma can not be part of a value; several key columns or
/// aggregates are given by repeating the key.
impl FromStr for SourceDraft {
    type Err = BadSource;

    fn from_str(text: &str) -> Result<Self, BadSource> {
        let mut draft = Self::default();
        for part in text.split(',') {
            let Some((key, value)) = part.split_once('=') else {
                let problem = format!("{:?} is not KEY=VALUE", part.trim());
                return Err(BadSource::new(&draft.name, problem));
            };
            let (key, value) = (key.trim(), value.trim());
            if let Err(problem) = draft.set(key, value) {
                return Err(BadSource::new(&draft.name, problem));
            }
        }
        Ok(draft)
    }
}

impl SourceDraft {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let text = || Some(value.to_owned());
        let amount = || Some(Amount::Text(value.to_owned()));
        match key {
            "name" => value.clone_into(&mut self.name),
            "kind" => self.kind = text(),
            "url" => self.url = text(),
            "path" => self.path = Some(value.into()),
            "table" => self.table = text(),
            "mode" => self.mode = text(),
            "preset" => self.preset = text(),
            "count" => self.count = text(),
            "order" => self.order = text(),
            "delimiter" => self.delimiter = text(),
            "key" => self.key.add(value),
            "group_by" => self.group_by.add(value),
            "sum" => self.sum.add(value),
            "min" => self.min.add(value),
            "max" => self.max.add(value),
            "max_rejects" => self.max_rejects = amount(),
            "interval" => self.interval = amount(),
            "timeout" => self.timeout = amount(),
            "max_bytes" => self.max_bytes = amount(),
            "max_redirects" => {
                let number = value.parse().map_err(|_| "max_redirects: a number is wanted")?;
                self.max_redirects = Some(number);
            }
            "allow_private" => {
                let allowed = value.parse().map_err(|_| "allow_private: true or false")?;
                self.allow_private = allowed;
            }
            "header_env" => {
                let (header, variable) =
                    value.split_once(':').ok_or("header_env: HEADER:VARIABLE is wanted")?;
                self.header_env.insert(header.to_owned(), variable.to_owned());
            }
            _ => return Err(format!("there is no key {key:?}; docs/sources.md lists them")),
        }
        Ok(())
    }
}

/// Reads a time: a number of seconds, or with ms, s, m, h, d.
pub(super) fn duration(what: &str, amount: &Amount) -> Result<Duration, String> {
    let bad = || format!("{what}: a time such as 10s, 500ms or 5m is wanted");
    let text = match amount {
        Amount::Number(seconds) => return Ok(Duration::from_secs(*seconds)),
        Amount::Text(text) => text.trim(),
    };
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(bad()),
    };
    let seconds: f64 = number.parse().map_err(|_| bad())?;
    Duration::try_from_secs_f64(seconds * factor).map_err(|_| bad())
}

/// Reads a size: bytes, or with kB, MB, GB, KiB, MiB, GiB.
pub(super) fn bytes(amount: &Amount) -> Result<u64, String> {
    let bad = || "max_bytes: a size such as 10GB, 64MiB or 1000000 is wanted".to_owned();
    let text = match amount {
        Amount::Number(bytes) => return Ok(*bytes),
        Amount::Text(text) => text.trim(),
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(bad)
}
