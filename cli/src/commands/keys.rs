//! `tally keys …`: the keys of a master and the tokens of its slaves, in their files. No master need run, and none
//! is asked: whoever may write its data folder may give out keys.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;

use tally_common::api::timestamp;
use tally_master::access::{
    Key, KeyId, KeyLimits, KeysError, KeysFile, NewKey, Scope, Scopes, Standing, TokensFile,
};

use super::make_data_dir;
use crate::args::{OutputFormat, size};
use crate::exit::Kind;
use crate::log::say;
use crate::output::{self, show};

/// Longest time that a key may be given, in days: what is longer is meant to be never.
const MAX_DAYS: u64 = 36_500;

#[derive(Debug, clap::Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key, and print it: it is not shown again
    Create(CreateArgs),
    /// Show all keys, and whether they hold
    List(ListArgs),
    /// End a key
    Revoke(RevokeArgs),
    /// Print the token that slaves join with
    JoinToken(TokenArgs),
}

/// Where the keys are.
#[derive(Debug, clap::Args)]
struct Place {
    /// The master's data folder
    #[arg(long, value_name = "DIR", default_value = "tally-data", env = "TALLY_DATA_DIR")]
    data_dir: PathBuf,
    /// The keys file, where it is not keys.json in that folder
    #[arg(long, value_name = "FILE", env = "TALLY_KEYS")]
    keys: Option<PathBuf>,
}

impl Place {
    fn file(&self) -> KeysFile {
        match &self.keys {
            Some(path) => KeysFile::at(path.clone()),
            None => KeysFile::of_data_dir(&self.data_dir),
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally keys create --data-dir /var/lib/tally --name admin --scope admin
  tally keys create --name nightly --scope submit --expires 90d > nightly.key")]
struct CreateArgs {
    #[command(flatten)]
    place: Place,
    /// A name for people, which stands in the audit log
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it allows: read, submit (and read), admin (and both), join (be a slave); may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', required = true,
        value_parser = |text: &str| text.parse::<Scope>())]
    scopes: Vec<Scope>,
    /// When it ends: a number of days (90d) or hours (12h), or never
    #[arg(long, value_name = "TIME", default_value = "never", value_parser = lifetime)]
    expires: Lifetime,
    /// Requests in a second that it may make [default: as the master's flags say]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: Option<u32>,
    /// Requests that it may make at once [default: twice as many as in a second]
    #[arg(long, value_name = "N", requires = "requests_per_second",
        value_parser = clap::value_parser!(u32).range(1..))]
    burst: Option<u32>,
    /// Jobs that it may have at a time which have not ended [default: as the master's flags say]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_jobs: Option<u32>,
    /// Input that it may send in a day (UTC), as it is sent: bytes, or with kB, MB, GB [default: as the master's
    /// flags say]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bytes_per_day: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// As JSON, as --output json does
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RevokeArgs {
    /// The key, by its id or its name
    key: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
To rotate: --rotate puts a new token first, and the one before still holds. Give the new one to the slaves, start
them anew, and --rotate again, which ends the old one.")]
struct TokenArgs {
    /// The master's data folder
    #[arg(long, value_name = "DIR", default_value = "tally-data", env = "TALLY_DATA_DIR")]
    data_dir: PathBuf,
    /// The file of tokens, where it is not join-token in that folder
    #[arg(long, value_name = "FILE", env = "TALLY_JOIN_TOKENS")]
    join_tokens: Option<PathBuf>,
    /// Make a new token, and end all but the one before it
    #[arg(long)]
    rotate: bool,
}

/// How long a key holds, in milliseconds; for ever where there is none.
#[derive(Clone, Copy, Debug)]
struct Lifetime(Option<u64>);

fn lifetime(text: &str) -> Result<Lifetime, String> {
    const HOUR: u64 = 3_600_000;
    if text == "never" {
        return Ok(Lifetime(None));
    }
    let (number, unit) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => (days, 24 * HOUR),
        (None, Some(hours)) => (hours, HOUR),
        (None, None) => return Err("90d, 12h or never is wanted".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "90d, 12h or never is wanted".to_owned())?;
    let span = number.checked_mul(unit).filter(|span| (1..=MAX_DAYS * 24 * HOUR).contains(span));
    span.map(|span| Lifetime(Some(span))).ok_or(format!("a key holds at most {MAX_DAYS} days"))
}

pub(crate) fn run(args: KeysArgs, format: OutputFormat) -> anyhow::Result<()> {
    match args.verb {
        Verb::Create(args) => create(args),
        Verb::List(args) => list(&args, format),
        Verb::Revoke(args) => revoke(&args),
        Verb::JoinToken(args) => join_token(&args),
    }
}

fn create(args: CreateArgs) -> anyhow::Result<()> {
    let file = args.place.file();
    if args.place.keys.is_none() {
        // A key may be there before the master is.
        make_data_dir(&args.place.data_dir)?;
    }
    let limits = KeyLimits {
        requests_per_second: args.requests_per_second,
        burst: args.burst,
        max_jobs: args.max_jobs,
        bytes_per_day: args.bytes_per_day,
    };
    let scopes = Scopes::from(args.scopes);
    let new = NewKey { name: args.name, scopes, lifetime_ms: args.expires.0, limits };
    let (key, text) = file.create(new).map_err(told)?;
    // Alone on stdout, so that it can go into a file or a variable.
    writeln!(io::stdout().lock(), "{text}").context("stdout")?;
    let end =
        key.expires_ms.map_or("never ends".to_owned(), |end| format!("ends {}", timestamp(end)));
    say(&format!(
        "key {} ({}): {}, {end}; kept in {} as a hash alone, so it is not shown again",
        key.id,
        key.name,
        key.scopes,
        file.path().display()
    ));
    Ok(())
}

/// A key as it is listed.
#[derive(Serialize)]
pub(crate) struct Listed {
    pub(crate) id: KeyId,
    pub(crate) name: String,
    pub(crate) state: Standing,
    pub(crate) scopes: Scopes,
    pub(crate) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revoked_at: Option<String>,
    pub(crate) limits: KeyLimits,
}

impl Listed {
    fn new(key: Key) -> Self {
        Self {
            state: key.standing_now(),
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            created_at: timestamp(key.created_ms),
            expires_at: key.expires_ms.map(timestamp),
            revoked_at: key.revoked_ms.map(timestamp),
            limits: key.limits,
        }
    }
}

fn list(args: &ListArgs, format: OutputFormat) -> anyhow::Result<()> {
    let keys = args.place.file().list().map_err(told)?;
    let keys: Vec<Listed> = keys.into_iter().map(Listed::new).collect();
    let format = if args.json { OutputFormat::Json } else { format };
    show(format, &keys, output::keys)
}

fn revoke(args: &RevokeArgs) -> anyhow::Result<()> {
    let key = args.place.file().revoke(&args.key).map_err(told)?;
    say(&format!(
        "key {} ({}) is revoked; a master that runs refuses it within about a second",
        key.id, key.name
    ));
    Ok(())
}

fn join_token(args: &TokenArgs) -> anyhow::Result<()> {
    let file = match &args.join_tokens {
        Some(path) => TokensFile::at(path.clone()),
        None => TokensFile::of_data_dir(&args.data_dir),
    };
    if args.join_tokens.is_none() {
        make_data_dir(&args.data_dir)?;
    }
    let tokens = if args.rotate { file.rotate() } else { file.read_or_make() }?;
    let Some(token) = tokens.first() else {
        anyhow::bail!("{} has no token; --rotate makes one", file.path().display());
    };
    writeln!(io::stdout().lock(), "{token}").context("stdout")?;
    if args.rotate && tokens.len() > 1 {
        say("the token before this one still holds; --rotate again ends it");
    }
    Ok(())
}

/// What the user got wrong is not what the machine did.
fn told(error: KeysError) -> anyhow::Error {
    match error {
        KeysError::Name | KeysError::NoScope | KeysError::NameTaken { .. } => {
            Kind::Usage.error(error.to_string())
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_hours_or_never() {
        assert_eq!(lifetime("never").unwrap().0, None);
        assert_eq!(lifetime("90d").unwrap().0, Some(90 * 86_400_000));
        assert_eq!(lifetime("1h").unwrap().0, Some(3_600_000));
        for text in ["", "d", "0d", "90", "-1d", "1.5d", "99999999999999999999d", "36501d"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
