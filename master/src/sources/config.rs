//! What is said of a source, in the config file or by a flag, and the checking of it. What has passed here
//! makes sense; whether the place is there is found out by looking.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use tally_common::api::IngestMode;
use tally_common::dialect::Delimiter;
use tally_common::spec::{AggregateOp, MaxRejects, Order, Spec, SpecDraft, SpecError};
use tally_common::table::TableDraft;

use super::draft::{SourceDraft, bytes, duration};
use crate::fetch::Place;

/// Most sources of a master: each has a task, a row, and a place in every list of them.
pub const MAX_SOURCES: usize = 1000;

/// Longest name of a source, in bytes.
const MAX_NAME_BYTES: usize = 63;

/// How often a source is looked at, where nothing else is said.
const INTERVAL: Duration = Duration::from_secs(10);

/// As often as it may be: more would be an attack.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// As rarely as it may be.
const LONGEST_INTERVAL: Duration = Duration::from_secs(366 * 24 * 3600);

/// How long a server may take to connect or to say its first byte, or be silent later.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes of one thing that is fetched.
const MAX_BYTES: u64 = 10 << 30;

/// Most redirects that may be allowed, and as many as are followed where nothing is said.
const MAX_REDIRECTS: u32 = 3;

/// Most headers that are sent along.
const MAX_HEADERS: usize = 16;

/// Why a source was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {problem}", Self::who(name))]
pub struct BadSource {
    name: String,
    problem: String,
}

impl BadSource {
    /// A problem with the source of that name, which may be empty.
    pub fn new(name: &str, problem: impl Into<String>) -> Self {
        Self { name: name.to_owned(), problem: problem.into() }
    }

    fn who(name: &str) -> String {
        if name.is_empty() { "a source".to_owned() } else { format!("the source {name:?}") }
    }
}

/// Where a source is.
///
/// A kind that is to come, such as a prefix of an object store, is one more of these: something that is
/// listed into items (as a folder is) which are then fetched one by one (as a URL is).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A server that says whether it has something new.
    Sense(Place),
    /// Any URL.
    Http(Place),
    /// A folder, a file, or files by a pattern.
    Folder(PathBuf),
}

/// What becomes of the data.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    /// A job counts it.
    Count(Box<Spec>),
    /// A job writes it into a table.
    Table(Box<IntoTable>),
}

/// What has to be known to write into a table.
#[derive(Clone, Debug)]
pub(crate) struct IntoTable {
    pub(crate) table: String,
    pub(crate) mode: IngestMode,
    /// What the table is declared by, where there is none: a preset of the same name, or the columns of its
    /// key.
    pub(crate) preset: Option<String>,
    pub(crate) key: Vec<String>,
    pub(crate) delimiter: Option<Delimiter>,
    pub(crate) max_rejects: MaxRejects,
}

/// A checked source.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) into: Destination,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_bytes: u64,
    pub(crate) max_redirects: u32,
    /// Names and values; the values are secrets.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) allow_private: bool,
}

impl SourceConfig {
    /// The kind, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self.target {
            Target::Sense(_) => "sense",
            Target::Http(_) => "http",
            Target::Folder(_) => "folder",
        }
    }

    /// Where it is, without what may be a secret.
    pub(crate) fn shown(&self) -> String {
        match &self.target {
            Target::Sense(place) | Target::Http(place) => place.to_string(),
            Target::Folder(path) => path.display().to_string(),
        }
    }

    /// What becomes of its data, in words.
    pub(crate) fn target_shown(&self) -> String {
        match &self.into {
            Destination::Table(into) => format!("table {} ({})", into.table, into.mode.as_str()),
            Destination::Count(spec) if spec.draft().group_by == SpecDraft::plays().group_by => {
                "count plays".to_owned()
            }
            Destination::Count(spec) => {
                let by = &spec.draft().group_by;
                let by: Vec<_> = by.iter().map(|column| column.name.as_str()).collect();
                format!("count by {}", by.join(", "))
            }
        }
    }

    /// The table that its data goes into.
    pub(crate) fn table(&self) -> Option<&str> {
        match &self.into {
            Destination::Table(into) => Some(&into.table),
            Destination::Count(_) => None,
        }
    }

    /// Checks all sources of a master.
    ///
    /// # Errors
    /// [`BadSource`] of the first one that does not hold.
    pub fn check(
        drafts: Vec<SourceDraft>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<Self>, BadSource> {
        if drafts.len() > MAX_SOURCES {
            let problem =
                format!("{} are too many; a master watches at most {MAX_SOURCES}", drafts.len());
            return Err(BadSource::new("", problem));
        }
        let mut sources: Vec<Self> = Vec::new();
        for draft in drafts {
            let name = draft.name.clone();
            let source = Self::of(draft, &env).map_err(|problem| BadSource::new(&name, problem))?;
            if sources.iter().any(|other| other.name == source.name) {
                return Err(BadSource::new(&name, "the name is there twice"));
            }
            sources.push(source);
        }
        Ok(sources)
    }

    fn of(draft: SourceDraft, env: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        name(&draft.name)?;
        let target = target(&draft)?;
        let into = into(&draft, &target)?;
        let within = |what: &str, found: Option<Duration>, least: Duration, usual| match found {
            Some(found) if found < least || found > LONGEST_INTERVAL => {
                Err(format!("{what} can be from {} ms to 366 days", least.as_millis()))
            }
            found => Ok(found.unwrap_or(usual)),
        };
        let interval = draft.interval.as_ref().map(|amount| duration("interval", amount));
        let timeout = draft.timeout.as_ref().map(|amount| duration("timeout", amount));
        let max_bytes = draft.max_bytes.as_ref().map(bytes).transpose()?.unwrap_or(MAX_BYTES);
        let max_redirects = draft.max_redirects.unwrap_or(MAX_REDIRECTS);
        if max_bytes == 0 {
            return Err("max_bytes must be at least 1".to_owned());
        }
        if max_redirects > MAX_REDIRECTS {
            return Err(format!("max_redirects can be at most {MAX_REDIRECTS}"));
        }
        if matches!(target, Target::Folder(_))
            && (!draft.header_env.is_empty() || draft.allow_private)
        {
            return Err("header_env and allow_private are of sources with a url".to_owned());
        }
        Ok(Self {
            interval: within("interval", interval.transpose()?, SHORTEST_INTERVAL, INTERVAL)?,
            timeout: within("timeout", timeout.transpose()?, SHORTEST_INTERVAL, TIMEOUT)?,
            max_bytes,
            max_redirects,
            headers: headers(&draft.header_env, env)?,
            allow_private: draft.allow_private,
            name: draft.name,
            target,
            into,
        })
    }
}

/// A name stands in URLs, in the log and on pages.
fn name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if begins && name.len() <= MAX_NAME_BYTES && name.chars().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "a name must have 1 to {MAX_NAME_BYTES} letters, digits, '-', '_' or '.', and begin with a \
         letter or digit"
    ))
}

fn target(draft: &SourceDraft) -> Result<Target, String> {
    let kind = match (draft.kind.as_deref(), &draft.url, &draft.path) {
        (_, Some(_), Some(_)) => return Err("give url or path, not both".to_owned()),
        (_, None, None) => return Err("it needs a url or a path".to_owned()),
        (None, Some(_), _) => "http",
        (None, _, Some(_)) => "folder",
        (Some(kind), ..) => kind,
    };
    let url = || {
        let url = draft.url.as_deref();
        let url = url.ok_or_else(|| format!("the kind {kind} needs a url, and has a path"))?;
        Place::parse(url).map_err(|problem| format!("url: {problem}"))
    };
    match kind {
        "sense" => {
            let place = url()?;
            if place.has_query() {
                return Err("the url of kind sense is a base, and has no query".to_owned());
            }
            Ok(Target::Sense(place))
        }
        "http" => Ok(Target::Http(url()?)),
        "folder" => {
            let path = draft.path.clone().ok_or("the kind folder needs a path, and has a url")?;
            if !path.is_absolute() {
                return Err(format!("the path {} is not absolute", path.display()));
            }
            let folder = path.parent().map(|parent| parent.to_string_lossy().into_owned());
            if folder.is_some_and(|folder| is_pattern(&folder)) {
                return Err("only the last part of a path can have * or ?".to_owned());
            }
            Ok(Target::Folder(path))
        }
        other => Err(format!("there is no kind {other:?}: sense, http and folder are")),
    }
}

/// Whether a name is a pattern.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

fn into(draft: &SourceDraft, target: &Target) -> Result<Destination, String> {
    let shaped = [&draft.group_by, &draft.sum, &draft.min, &draft.max];
    let shaped = shaped.into_iter().any(|words| !words.list().is_empty()) || draft.count.is_some();
    let Some(table) = &draft.table else {
        if draft.mode.is_some() || !draft.key.list().is_empty() {
            return Err("mode and key are of sources that go into a table: give table".to_owned());
        }
        return Ok(Destination::Count(Box::new(spec(draft, shaped)?)));
    };
    if shaped || draft.order.is_some() {
        let problem = "group_by, sum, min, max, count and order are of sources that are counted, and \
            this one goes into a table";
        return Err(problem.to_owned());
    }
    let mode = match draft.mode.as_deref() {
        None => IngestMode::Merge,
        Some(mode) => IngestMode::parse(mode)
            .ok_or_else(|| format!("there is no mode {mode:?}: merge and replace are"))?,
    };
    if let (IngestMode::Replace, Target::Folder(path)) = (mode, target)
        && (path.is_dir() || is_pattern(&path.to_string_lossy()))
    {
        let problem = "with mode replace each file of the folder would take the place of all others; \
            use merge, or name one file";
        return Err(problem.to_owned());
    }
    if draft.preset.as_deref().is_some_and(|preset| preset != table) {
        return Err(format!("the preset declares a table of its own name, which is not {table:?}"));
    }
    if let Some(preset) = &draft.preset {
        TableDraft::preset(preset).map_err(|error| error.to_string())?;
    }
    let mut some = SpecDraft::plays();
    dialect(draft, &mut some)?;
    Ok(Destination::Table(Box::new(IntoTable {
        table: table.clone(),
        mode,
        preset: draft.preset.clone(),
        key: draft.key.list(),
        delimiter: some.delimiter,
        max_rejects: some.max_rejects,
    })))
}

fn dialect(draft: &SourceDraft, spec: &mut SpecDraft) -> Result<(), String> {
    if let Some(delimiter) = &draft.delimiter {
        let delimiter = delimiter.parse();
        spec.delimiter = Some(delimiter.map_err(|error| format!("delimiter: {error}"))?);
    }
    if let Some(max) = &draft.max_rejects {
        spec.max_rejects = max.plain().parse().map_err(|error: SpecError| error.to_string())?;
    }
    Ok(())
}

fn spec(draft: &SourceDraft, shaped: bool) -> Result<Spec, String> {
    let words = |error: SpecError| error.to_string();
    let mut spec = match (&draft.preset, shaped) {
        (Some(_), true) => return Err("give preset, or group_by with its aggregates".to_owned()),
        (Some(preset), false) => SpecDraft::preset(preset).map_err(words)?,
        (None, false) => {
            let problem = "it needs a table that it goes into, or a preset or group_by by which it is \
                counted";
            return Err(problem.to_owned());
        }
        (None, true) => {
            let ops = [
                (AggregateOp::Sum, &draft.sum),
                (AggregateOp::Min, &draft.min),
                (AggregateOp::Max, &draft.max),
            ];
            let columns = ops
                .iter()
                .flat_map(|(op, names)| names.list().into_iter().map(move |name| (*op, name)));
            let columns: Vec<_> = columns.collect();
            SpecDraft::from_short_forms(&draft.group_by.list(), &columns, draft.count.as_deref())
                .map_err(words)?
        }
    };
    spec.order = match draft.order.as_deref() {
        None => spec.order,
        Some("sorted") => Order::Sorted,
        Some("first-seen") => Order::FirstSeen,
        Some(other) => {
            return Err(format!("there is no order {other:?}: sorted and first-seen are"));
        }
    };
    dialect(draft, &mut spec)?;
    Spec::try_from(spec).map_err(words)
}

fn headers(
    wanted: &BTreeMap<String, String>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, String> {
    if wanted.len() > MAX_HEADERS {
        return Err(format!("header_env can have at most {MAX_HEADERS} headers"));
    }
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let one = |(name, variable): (&String, &String)| {
        if name.is_empty() || !name.chars().all(token) {
            return Err(format!("header_env: {name:?} can not be the name of a header"));
        }
        let own = ["host", "content-length", "connection", "transfer-encoding", "if-none-match"];
        if own.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("header_env: {name} is set by Tally itself"));
        }
        let value = env(variable).filter(|value| !value.is_empty());
        let value = value
            .ok_or_else(|| format!("header_env: the environment variable {variable} is not set"))?;
        if !value.chars().all(|c| (' '..='~').contains(&c)) {
            return Err(format!("header_env: {variable} holds what can not be in a header"));
        }
        Ok((name.clone(), value))
    };
    wanted.iter().map(one).collect()
}

#[cfg(test)]
mod tests;
