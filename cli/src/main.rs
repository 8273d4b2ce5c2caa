//! The one binary of Tally: reads the command line, sets up logging, runs a subcommand.

mod args;
#[cfg(feature = "broker")]
mod broker_args;
mod client;
mod commands;
mod config;
mod dial_args;
mod embedded;
mod exit;
mod generate;
mod log;
mod memory;
#[cfg(feature = "otlp")]
mod otlp;
mod output;
mod progress;
mod spec_args;
mod tls_args;
mod upload;

use std::process::ExitCode;

use clap::FromArgMatches;

use args::Args;

fn main() -> ExitCode {
    let command = match config::command() {
        Ok(command) => command,
        Err(error) => return exit::report(&error),
    };
    if let Some(minor) = std::env::var("TALLY_PROTOCOL_MINOR").ok().and_then(|it| it.parse().ok()) {
        // For tests of upgrades: as a build that speaks this one.
        tally_proto::speak(minor);
    }
    let args = match Args::from_arg_matches(&command.get_matches()) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    let log = match log::start(&args) {
        Ok(log) => log,
        Err(error) => return exit::report(&error),
    };
    let done = commands::run(args);
    log.finish();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
