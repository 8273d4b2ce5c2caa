//! The keys file: all keys there are, revoked ones included. Changed by whoever may write the file, read by the
//! master; no secret is in it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::file::{self, FileError};
use super::key::{Hash, Shown, draw};
use super::{Key, KeyId, KeyLimits, Scopes, Standing};
use crate::clock;

/// What this code writes, and the only version that it reads.
const VERSION: u32 = 1;

/// Most keys of a file, revoked ones included.
const MAX_KEYS: usize = 10_000;

/// Longest name, in bytes: it is shown in lists and stands in each line of the audit log.
const MAX_NAME: usize = 64;

/// Why the keys can not be read or changed.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The file itself.
    #[error("the keys file {0}")]
    File(#[from] FileError),
    /// What is in it.
    #[error("the keys file {}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A name that can not be one.
    #[error("a key's name has 1 to {MAX_NAME} bytes and no control characters")]
    Name,
    /// A name that another key has.
    #[error("the key {id} has that name; revoke it, or take another name")]
    NameTaken {
        /// That key.
        id: KeyId,
    },
    /// A key that may do nothing.
    #[error("a key needs a scope: read, submit, admin or join")]
    NoScope,
    /// Too many.
    #[error("there are {MAX_KEYS} keys, and no more are taken; remove revoked ones from the file")]
    TooMany,
    /// A key that there is not.
    #[error("no key has the id or the name {0:?}")]
    None(String),
    /// One that is revoked already.
    #[error("the key {0} has been revoked before")]
    Revoked(KeyId),
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    keys: Vec<Key>,
}

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// A name for people, which no other key has that holds.
    pub name: String,
    /// What it is to allow.
    pub scopes: Scopes,
    /// Milliseconds until it ends; `None`: it does not by itself.
    pub lifetime_ms: Option<u64>,
    /// How much it may ask for.
    pub limits: KeyLimits,
}

/// A keys file, by its name.
#[derive(Clone, Debug)]
pub struct KeysFile(PathBuf);

impl KeysFile {
    /// That of a data folder.
    pub fn of_data_dir(folder: &Path) -> Self {
        Self(folder.join("keys.json"))
    }

    /// Any other.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// All keys, in the order in which they were made; none where there is no file.
    ///
    /// # Errors
    /// [`KeysError::File`] and [`KeysError::Content`].
    pub fn list(&self) -> Result<Vec<Key>, KeysError> {
        match self.read() {
            Err(KeysError::File(error)) if error.is_absent() => Ok(Vec::new()),
            read => read,
        }
    }

    /// All keys of a file that has to be there.
    pub(super) fn read(&self) -> Result<Vec<Key>, KeysError> {
        let text = file::read(&self.0)?;
        let wrong = |problem: String| KeysError::Content { path: self.0.clone(), problem };
        let content: Content = serde_json::from_str(&text)
            // Where it went wrong, and nothing of what stands there.
            .map_err(|error| wrong(format!("line {} is not as it should be", error.line())))?;
        if content.version != VERSION {
            return Err(wrong(format!("it is of version {}, not {VERSION}", content.version)));
        }
        if content.keys.len() > MAX_KEYS {
            return Err(wrong(format!("it has more than {MAX_KEYS} keys")));
        }
        Ok(content.keys)
    }

    /// Makes a key, and gives what its owner is to be told, once.
    ///
    /// # Errors
    /// Any [`KeysError`].
    pub fn create(&self, new: NewKey) -> Result<(Key, String), KeysError> {
        let name = new.name;
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(KeysError::Name);
        }
        if new.scopes.is_empty() {
            return Err(KeysError::NoScope);
        }
        let now = clock::wall_ms();
        self.change(|keys| {
            if keys.len() >= MAX_KEYS {
                return Err(KeysError::TooMany);
            }
            let holds = |key: &&mut Key| key.standing(now) == Standing::Active;
            if let Some(key) = keys.iter_mut().filter(holds).find(|key| key.name == name) {
                return Err(KeysError::NameTaken { id: key.id.clone() });
            }
            let (id, text, hash) = draw().ok_or(KeysError::NoRandom)?;
            let key = Key {
                id,
                name,
                hash,
                scopes: new.scopes,
                created_ms: now,
                expires_ms: new.lifetime_ms.map(|lifetime| now.saturating_add(lifetime)),
                revoked_ms: None,
                limits: new.limits,
            };
            keys.push(key.clone());
            Ok((key, text))
        })
    }

    /// Ends a key, by its id or by its name.
    ///
    /// # Errors
    /// Any [`KeysError`].
    pub fn revoke(&self, which: &str) -> Result<Key, KeysError> {
        let now = clock::wall_ms();
        self.change(|keys| {
            let by_id = keys.iter().position(|key| key.id.as_str() == which);
            let by_name = || {
                // Of several with a name at most one is not revoked, and it is the last.
                keys.iter().rposition(|key| key.name == which)
            };
            let place = by_id.or_else(by_name).ok_or_else(|| KeysError::None(which.to_owned()))?;
            let key = &mut keys[place];
            if key.revoked_ms.is_some() {
                return Err(KeysError::Revoked(key.id.clone()));
            }
            key.revoked_ms = Some(now);
            Ok(key.clone())
        })
    }

    /// Reads the file, changes what is in it, and writes it, while nobody else does.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Key>) -> Result<T, KeysError>,
    ) -> Result<T, KeysError> {
        let turn = file::turn(&self.0)?;
        let mut keys = self.list()?;
        let done = change(&mut keys)?;
        let wrong = |problem: String| KeysError::Content { path: self.0.clone(), problem };
        let content = Content { version: VERSION, keys };
        let mut text =
            serde_json::to_string_pretty(&content).map_err(|error| wrong(error.to_string()))?;
        text.push('\n');
        file::replace(&self.0, &text, &turn)?;
        Ok(done)
    }
}

/// The keys that are in force, by their ids.
#[derive(Debug, Default)]
pub(super) struct Ring(HashMap<KeyId, Arc<Key>>);

impl Ring {
    pub(super) fn new(keys: Vec<Key>) -> Self {
        Self(keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, id: &KeyId) -> Option<&Arc<Key>> {
        self.0.get(id)
    }

    /// The key that somebody shows, whether it holds or not. What is done for an id that there is not takes as
    /// long as for one that there is, and a secret is compared in a time that does not depend on it.
    pub(super) fn find(&self, text: &str) -> Option<&Arc<Key>> {
        let shown = Shown::parse(text)?;
        let id = KeyId::try_from(shown.id.to_owned()).ok()?;
        let key = self.0.get(&id);
        let kept = key.map_or(Hash::NOBODY, |key| key.hash);
        let same = Hash::of(shown.secret).matches(&kept);
        key.filter(|_| same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;

    fn new(name: &str) -> NewKey {
        NewKey {
            name: name.to_owned(),
            scopes: Scope::Submit.into(),
            lifetime_ms: None,
            limits: KeyLimits::default(),
        }
    }

    #[test]
    fn a_key_is_found_by_its_secret_alone_and_the_file_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::of_data_dir(folder.path());
        assert_eq!(file.list().unwrap(), []);
        let (key, text) = file.create(new("ci")).unwrap();
        let (other, of_other) = file.create(new("cd")).unwrap();
        let ring = Ring::new(file.list().unwrap());
        assert_eq!(ring.find(&text).map(|key| &key.id), Some(&key.id));
        assert_eq!(ring.find(&of_other).map(|key| &key.id), Some(&other.id));
        // The id of one, and the secret of the other.
        let mixed = text.replace(key.id.as_str(), other.id.as_str());
        assert!(ring.find(&mixed).is_none());
        assert!(ring.find("tally_").is_none());
        let written = std::fs::read_to_string(file.path()).unwrap();
        assert!(!written.contains(text.rsplit('_').next().unwrap()));
        assert!(!format!("{ring:?}").contains(text.rsplit('_').next().unwrap()));
    }

    #[test]
    fn names_are_of_one_key_at_a_time_and_a_key_is_revoked_by_either() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::of_data_dir(folder.path());
        let (first, _) = file.create(new("ci")).unwrap();
        assert!(matches!(file.create(new("ci")), Err(KeysError::NameTaken { .. })));
        assert_eq!(file.revoke("ci").unwrap().id, first.id);
        let (second, _) = file.create(new("ci")).unwrap();
        assert!(matches!(file.revoke(first.id.as_str()), Err(KeysError::Revoked(_))));
        assert_eq!(file.revoke("ci").unwrap().id, second.id);
        assert!(matches!(file.revoke("cd"), Err(KeysError::None(_))));
        for name in ["", "a\nb", &"x".repeat(65)] {
            assert!(matches!(file.create(new(name)), Err(KeysError::Name)));
        }
        let nothing = NewKey { scopes: Scopes::NONE, ..new("nothing") };
        assert!(matches!(file.create(nothing), Err(KeysError::NoScope)));
    }

    #[test]
    fn a_file_that_makes_no_sense_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::of_data_dir(folder.path());
        for text in ["", "{}", r#"{"version":2,"keys":[]}"#, r#"{"version":1,"keys":[{"id":"x"}]}"#]
        {
            std::fs::write(file.path(), text).unwrap();
            assert!(matches!(file.list(), Err(KeysError::Content { .. })), "{text}");
            assert!(file.create(new("ci")).is_err());
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
        }
    }

    #[test]
    fn what_is_written_is_the_format_that_is_documented() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::of_data_dir(folder.path());
        let limits = KeyLimits { burst: Some(3), ..KeyLimits::default() };
        file.create(NewKey { lifetime_ms: Some(1), limits, ..new("ci") }).unwrap();
        let written: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(file.path()).unwrap()).unwrap();
        assert_eq!(written["version"], 1);
        let key = &written["keys"][0];
        assert_eq!(key["scopes"], serde_json::json!(["submit"]));
        assert_eq!(key["limits"], serde_json::json!({"burst": 3}));
        assert_eq!(key["hash"].as_str().map(str::len), Some(64));
        assert!(key["expires_ms"].is_u64() && key.get("revoked_ms").is_none());
    }
}
