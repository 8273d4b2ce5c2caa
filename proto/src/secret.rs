//! A credential of a client or a slave: an API key, or a token to join. It is never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tonic::codegen::http::HeaderValue;

/// Longest credential, in bytes: ours have a hundred, and a header has its bounds.
const MAX_BYTES: usize = 4096;

/// Something that is not to be shown. Neither its `Debug` nor any error has a part of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why there is no credential where one was to be.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Its file can not be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is empty, too long, or can not be sent.
    #[error("{from}: a line of printable ASCII characters is wanted, without spaces")]
    Malformed {
        /// Where it came from.
        from: String,
    },
}

impl Secret {
    /// Takes a text for a credential; `from` says where it stood.
    ///
    /// # Errors
    /// [`SecretError::Malformed`]
    pub fn new(text: &str, from: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let fits = !text.is_empty() && text.len() <= MAX_BYTES;
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(SecretError::Malformed { from: from.to_owned() })
    }

    /// The first line of a file that is neither empty nor a `#` comment: a master's file of tokens may have a
    /// second one while they are being exchanged, and the first is the one to use.
    ///
    /// # Errors
    /// [`SecretError`]
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| SecretError::Read { path: path.to_owned(), error })?;
        let mut lines = text.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        Self::new(line.unwrap_or_default(), &path.display().to_string())
    }

    /// As the header `authorization` has it.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// The same for a call. What shows headers leaves it out.
    pub(crate) fn header(&self) -> HeaderValue {
        // Checked where it was made: printable ASCII can be sent.
        let mut value = HeaderValue::try_from(self.bearer())
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_secret_nor_what_is_said_of_it_shows_it() {
        let secret = Secret::new(" tally_0123_abc\n", "X").unwrap();
        assert_eq!(secret.bearer(), "Bearer tally_0123_abc");
        assert_eq!(format!("{secret:?} {:?}", secret.header()), "Secret(…) Sensitive");
        for wrong in ["", " \n", "two words", "zwölf", &"x".repeat(MAX_BYTES + 1)] {
            let error = Secret::new(wrong, "TALLY_API_KEY").unwrap_err().to_string();
            assert!(error.starts_with("TALLY_API_KEY: ") && !error.contains("words"), "{error}");
        }
    }

    #[test]
    fn of_a_file_the_first_line_that_says_something_counts() {
        let path = std::env::temp_dir().join(format!("tally-secret-{}", std::process::id()));
        std::fs::write(&path, "# ours\n\nnew\nold\n").unwrap();
        assert_eq!(Secret::read(&path).unwrap().bearer(), "Bearer new");
        std::fs::write(&path, "# nothing\n").unwrap();
        let error = Secret::read(&path).unwrap_err().to_string();
        assert!(error.contains("tally-secret"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Secret::read(&path), Err(SecretError::Read { .. })));
    }
}
