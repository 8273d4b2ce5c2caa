//! The config file: what it says of a flag becomes the flag's default, so that the command line and
//! the environment go before it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::{OsStr, ValueRange};
use clap::{ArgAction, Command, CommandFactory};
use toml::{Table, Value};

use tally_master::sources::SourceDraft;

use crate::args::Args;
use crate::exit::Kind;

/// The tables that are no subcommand's: places that a master watches.
const SOURCES: &str = "source";

/// What a config file may say beside flags.
#[derive(Debug, Default, serde::Deserialize)]
struct Watched {
    #[serde(default)]
    source: Vec<SourceDraft>,
}

/// The sources that the config file names.
pub(crate) fn sources() -> anyhow::Result<Vec<SourceDraft>> {
    let Some(path) = path() else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("the config file {} can not be read", path.display()))?;
    let file: Watched = toml::from_str(&text)
        .map_err(|error| Kind::Usage.error(format!("{}: {error}", path.display())))?;
    Ok(file.source)
}

/// The command line's grammar, with the config file's defaults.
pub(crate) fn command() -> anyhow::Result<Command> {
    let command = Args::command();
    let Some(path) = path() else {
        return Ok(command);
    };
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("the config file {} can not be read", path.display()))?;
    apply(command, &text, &path)
}

/// The config file of this process, if there is one.
pub(crate) fn path() -> Option<PathBuf> {
    find(std::env::args_os(), |name| std::env::var_os(name))
}

/// The file that is asked for, or one of those that need not be there.
fn find(
    args: impl Iterator<Item = std::ffi::OsString>,
    env: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Option<PathBuf> {
    let mut args = args.skip(1);
    while let Some(arg) = args.next() {
        let arg = arg.to_string_lossy();
        if arg == "--config" {
            return args.next().map(PathBuf::from);
        }
        if let Some(path) = arg.strip_prefix("--config=") {
            return Some(path.into());
        }
    }
    if let Some(path) = env("TALLY_CONFIG") {
        return Some(path.into());
    }
    let home = env("HOME").map(|home| Path::new(&home).join(".config/tally/config.toml"));
    [Some(PathBuf::from("tally.toml")), home].into_iter().flatten().find(|path| path.exists())
}

fn apply(mut command: Command, text: &str, path: &Path) -> anyhow::Result<Command> {
    let usage = |message: String| Kind::Usage.error(format!("{}: {message}", path.display()));
    let file: Table = text.parse().map_err(|error| usage(format!("{error}")))?;
    for (name, section) in file {
        if name == SOURCES {
            // No flags: the master reads them itself.
            continue;
        }
        let Value::Table(section) = section else {
            return Err(usage(format!("{name:?} is no table; keys stand in [subcommand] tables")));
        };
        if command.find_subcommand(&name).is_none() {
            return Err(usage(format!("there is no subcommand {name:?}")));
        }
        for (key, value) in section {
            let found = command.find_subcommand(&name).and_then(|subcommand| {
                let mut args = subcommand.get_arguments();
                args.find(|arg| arg.get_long() == Some(&key)).map(clap::Arg::get_id).cloned()
            });
            let Some(id) = found else {
                return Err(usage(format!("[{name}] has no flag {key:?}")));
            };
            let values =
                values(&value).map_err(|error| usage(format!("[{name}] {key}: {error}")))?;
            command = command.mut_subcommand(&name, |subcommand| {
                subcommand.mut_arg(id, |arg| {
                    let flag = matches!(arg.get_action(), ArgAction::SetTrue);
                    let arg = arg.default_values(values);
                    // A flag that takes no value still has a default.
                    if flag { arg.num_args(ValueRange::EMPTY) } else { arg }
                })
            });
        }
    }
    Ok(command)
}

fn values(value: &Value) -> Result<Vec<OsStr>, &'static str> {
    Ok(match value {
        Value::String(text) => vec![text.clone().into()],
        Value::Integer(number) => vec![number.to_string().into()],
        Value::Float(number) => vec![number.to_string().into()],
        Value::Boolean(flag) => vec![flag.to_string().into()],
        Value::Array(items) => items.iter().map(values).collect::<Result<Vec<_>, _>>()?.concat(),
        _ => return Err("a text, a number, true, false or a list of these is wanted"),
    })
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::args;

    fn parse(config: &str, line: &[&str]) -> anyhow::Result<Args> {
        let command = apply(Args::command(), config, Path::new("tally.toml"))?;
        let matches = command.try_get_matches_from(line)?;
        Ok(Args::from_arg_matches(&matches)?)
    }

    #[test]
    fn the_grammar_holds() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let config =
            "[slave]\nworkers = 3\nlabel = [\"a=1\", \"b=2\"]\n[master]\ninsecure = true\n";
        let args = parse(config, &["tally", "slave"]).unwrap();
        let args::Command::Slave(slave) = args.command else { panic!() };
        assert_eq!((slave.workers, slave.labels.len()), (Some(3), 2));
        let args = parse(config, &["tally", "slave", "--workers", "5"]).unwrap();
        let args::Command::Slave(slave) = args.command else { panic!() };
        assert_eq!(slave.workers, Some(5));
        let args = parse(config, &["tally", "master"]).unwrap();
        let args::Command::Master(master) = args.command else { panic!() };
        assert!(master.insecure);
        let config = "[slave]\notlp = \"http://127.0.0.1:4317\"\n";
        let args = parse(config, &["tally", "slave", "--log-format", "json"]).unwrap();
        assert_eq!(args.log_format, args::LogFormat::Json);
        #[cfg(feature = "otlp")]
        {
            let args::Command::Slave(slave) = args.command else { panic!() };
            assert_eq!(slave.spans.otlp.as_deref(), Some("http://127.0.0.1:4317"));
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (config, word) in [
            ("workers = 3", "workers"),
            ("[slaves]\nx = 1", "x"),
            ("[slav]", "slav"),
            ("[slave]\nworker = 1", "worker"),
            ("[slave]\nworkers = {}", "workers"),
            ("[slave", "TOML"),
        ] {
            let error = parse(config, &["tally", "slave"]).unwrap_err().to_string();
            assert!(error.contains("tally.toml") && error.contains(word), "{error}");
        }
        let error = parse("[slave]\nworkers = \"many\"", &["tally", "slave"]).unwrap_err();
        assert!(error.to_string().contains("many"));
    }

    #[test]
    fn the_file_is_looked_for_where_it_is_said_to_be() {
        let line = |words: &[&str]| words.iter().map(Into::into).collect::<Vec<_>>().into_iter();
        let none = |_: &str| None;
        assert_eq!(find(line(&["tally", "--config", "a"]), none), Some("a".into()));
        assert_eq!(find(line(&["tally", "--config=b", "slave"]), none), Some("b".into()));
        let env = |name: &str| (name == "TALLY_CONFIG").then(|| "c".into());
        assert_eq!(find(line(&["tally"]), env), Some("c".into()));
    }
}
