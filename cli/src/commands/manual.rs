//! `tally completions` and `tally man`: what shells and `man` want to know about the command line. It is
//! made from the grammar alone: no config file has a say.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally completions bash > ~/.local/share/bash-completion/completions/tally
  tally completions zsh > ~/.zfunc/_tally            (a folder of $fpath)
  tally completions fish > ~/.config/fish/completions/tally.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally man | man -l -
  tally man ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The folder to write all pages to [default: the first page goes to stdout]
    pub(crate) dir: Option<PathBuf>,
}

/// Writes a completion script to stdout.
pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    // The generator wants a writer that can not fail; stdout can.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "tally", &mut script);
    print(&script)
}

/// Writes one page to stdout, or all of them to a folder.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Args::command().disable_help_subcommand(true)).render(&mut page)?;
        return print(&page);
    };
    pages(dir).with_context(|| format!("the pages can not be written to {}", dir.display()))
}

fn pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Args::command(), dir)
}

fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("stdout"),
    }
}
