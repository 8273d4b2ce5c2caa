//! The tokens of slaves: a file with one a line, so that a new one can be given out before the old one goes.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::file::{self, FileError};
use super::key::Hash;
use super::random::{self, hex, is_hex};

/// What every token begins with.
pub(super) const PREFIX: &str = "tallyjoin_";

/// Digits behind that, of 32 random bytes.
const DIGITS: usize = 64;

/// Most tokens of a file: each that a slave shows is compared with all of them.
const MAX_TOKENS: usize = 16;

/// Tokens that rotating leaves: the new one, and the one before.
const KEPT: usize = 2;

/// Why the tokens can not be read or changed.
#[derive(Debug, Error)]
pub enum TokensError {
    /// The file itself.
    #[error("the file of join tokens {0}")]
    File(#[from] FileError),
    /// What is in it.
    #[error("the file of join tokens {}: line {line} is no token ({PREFIX} and {DIGITS} hexadecimal digits)", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Too many.
    #[error("the file of join tokens {}: it has more than {MAX_TOKENS} tokens", .0.display())]
    TooMany(PathBuf),
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
}

/// A file of tokens, by its name.
#[derive(Clone, Debug)]
pub struct TokensFile(PathBuf);

impl TokensFile {
    /// That of a data folder.
    pub fn of_data_dir(folder: &Path) -> Self {
        Self(folder.join("join-token"))
    }

    /// Any other.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The tokens, in their order.
    ///
    /// # Errors
    /// [`TokensError::File`], [`TokensError::Line`] and [`TokensError::TooMany`].
    pub fn read(&self) -> Result<Vec<String>, TokensError> {
        let text = file::read(&self.0)?;
        let mut tokens = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !line.strip_prefix(PREFIX).is_some_and(|digits| is_hex(digits, DIGITS)) {
                return Err(TokensError::Line { path: self.0.clone(), line: place + 1 });
            }
            tokens.push(line.to_owned());
        }
        match tokens.len() > MAX_TOKENS {
            true => Err(TokensError::TooMany(self.0.clone())),
            false => Ok(tokens),
        }
    }

    /// The tokens; a new file with one token where there is none.
    ///
    /// # Errors
    /// Any [`TokensError`].
    pub fn read_or_make(&self) -> Result<Vec<String>, TokensError> {
        match self.read() {
            Err(TokensError::File(error)) if error.is_absent() => {}
            read => return read,
        }
        let turn = file::turn(&self.0)?;
        // Another may have had the turn before.
        match self.read() {
            Err(TokensError::File(error)) if error.is_absent() => self.write(vec![draw()?], &turn),
            read => read,
        }
    }

    /// Puts a new token first, and keeps the one before it as the second; those before that go.
    ///
    /// # Errors
    /// Any [`TokensError`].
    pub fn rotate(&self) -> Result<Vec<String>, TokensError> {
        let turn = file::turn(&self.0)?;
        let mut tokens = match self.read() {
            Err(TokensError::File(error)) if error.is_absent() => Vec::new(),
            read => read?,
        };
        tokens.insert(0, draw()?);
        tokens.truncate(KEPT);
        self.write(tokens, &turn)
    }

    fn write(&self, tokens: Vec<String>, turn: &file::Turn) -> Result<Vec<String>, TokensError> {
        let mut text = "# What slaves show to join: a token a line, all of them hold.\n".to_owned();
        for token in &tokens {
            text.push_str(token);
            text.push('\n');
        }
        file::replace(&self.0, &text, turn)?;
        Ok(tokens)
    }
}

fn draw() -> Result<String, TokensError> {
    let bytes = random::bytes::<{ DIGITS / 2 }>().ok_or(TokensError::NoRandom)?;
    Ok(format!("{PREFIX}{}", hex(&bytes)))
}

/// A token that somebody has joined by, as it is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Token(Hash);

/// What is remembered of the tokens that hold.
#[derive(Debug, Default)]
pub(super) struct Tokens(Vec<Hash>);

impl Tokens {
    pub(super) fn new(tokens: &[String]) -> Self {
        Self(tokens.iter().map(|token| Hash::of(token)).collect())
    }

    /// What somebody shows, if it is one of them; in a time that does not tell which.
    pub(super) fn find(&self, token: &str) -> Option<Token> {
        let shown = Token(Hash::of(token));
        self.hold(shown).then_some(shown)
    }

    /// Whether it is still one of them.
    pub(super) fn hold(&self, token: Token) -> bool {
        self.0.iter().fold(false, |found, held| found | held.matches(&token.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_goes_first_and_the_one_before_holds_until_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokensFile::of_data_dir(folder.path());
        let first = file.read_or_make().unwrap();
        assert_eq!(first.len(), 1);
        assert_eq!(file.read_or_make().unwrap(), first);
        let second = file.rotate().unwrap();
        assert_eq!(second[1], first[0]);
        let third = file.rotate().unwrap();
        assert_eq!(third[1..], second[..1]);
        let tokens = Tokens::new(&file.read().unwrap());
        let hold = |token: &str| tokens.find(token).is_some();
        assert!(hold(&third[0]) && hold(&second[0]) && !hold(&first[0]) && !hold(""));
        // Who has come by one that is gone is known by it.
        let old = Tokens::new(&first).find(&first[0]).unwrap();
        assert!(!tokens.hold(old));
    }

    #[test]
    fn comments_and_blank_lines_pass_and_anything_else_is_named_by_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokensFile::at(folder.path().join("tokens"));
        let token = draw().unwrap();
        std::fs::write(file.path(), format!("# old\n\n {token} \r\n")).unwrap();
        assert_eq!(file.read().unwrap(), std::slice::from_ref(&token));
        std::fs::write(file.path(), format!("# old\n{token}x\n")).unwrap();
        let error = file.read().unwrap_err();
        assert!(matches!(error, TokensError::Line { line: 2, .. }));
        assert!(!error.to_string().contains(&token));
        std::fs::write(file.path(), "").unwrap();
        assert_eq!(file.read().unwrap(), Vec::<String>::new());
    }
}
