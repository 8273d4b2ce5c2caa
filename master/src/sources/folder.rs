//! Files of a folder, or by a pattern: what is there, and a copy of one of it. Links are not followed: who
//! may write to the folder must not be able to have other files of this machine read.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::client::{Given, Into, save};
use super::config::is_pattern;
use super::machine::{Content, MAX_ITEMS};
use super::state::Stat;

/// The files that a path names, by name: those of a folder, those that a pattern fits, or the one.
/// Hidden files are left out, unless the path names one.
pub(super) fn list(path: &Path) -> Result<Vec<(String, Stat)>, String> {
    let failed = |error: io::Error| format!("{} can not be listed: {error}", path.display());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let (folder, pattern) = match name {
        Some(name) if is_pattern(&name) => (path.parent().unwrap_or(path), Some(name)),
        Some(name) => match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => return Ok(vec![(name, stat(&found))]),
            _ => (path, None),
        },
        None => (path, None),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A name that is no text could not be remembered.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let wanted = match &pattern {
            Some(pattern) => fits(pattern.as_bytes(), name.as_bytes()),
            None => !name.starts_with('.'),
        };
        if !wanted {
            continue;
        }
        match entry.metadata() {
            Ok(found) if found.is_file() => files.push((name, stat(&found))),
            // A folder or a link, or gone again.
            _ => continue,
        }
        if files.len() > MAX_ITEMS {
            return Err(format!("{} has more than {MAX_ITEMS} files", path.display()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Where the file of that name is.
fn file(path: &Path, name: &str) -> PathBuf {
    if path.is_dir() {
        return path.join(name);
    }
    path.with_file_name(name)
}

/// Copies a file.
pub(super) fn fetch(
    path: &Path,
    name: &str,
    max_bytes: u64,
    into: &Into<'_>,
) -> Result<Given, String> {
    let path = file(path, name);
    let failed = |_, error: &io::Error| format!("it can not be read: {error}");
    let no_links = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let from = match OpenOptions::new().read(true).custom_flags(no_links).open(&path) {
        Ok(from) => from,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Given::Unsteady),
        Err(error) => return Err(failed(0, &error)),
    };
    let before = now(&from).map_err(|error| failed(0, &error))?;
    let check = |bytes| match bytes {
        bytes if bytes > max_bytes => {
            Err(format!("it has more than {max_bytes} bytes (max_bytes)"))
        }
        _ => Ok(()),
    };
    check(before.bytes)?;
    let saved = save(&from, into, check, failed)?;
    let after = now(&from).map_err(|error| failed(0, &error))?;
    if before != after || saved.bytes != after.bytes {
        return Ok(Given::Unsteady);
    }
    if saved.is_page {
        return Err("it is a web page, and no CSV".to_owned());
    }
    let content = Content { sha256: saved.sha256, stat: Some(after), ..Content::default() };
    Ok(Given::Content(content))
}

fn now(file: &File) -> io::Result<Stat> {
    Ok(stat(&file.metadata()?))
}

fn stat(found: &Metadata) -> Stat {
    let modified_ns =
        found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec());
    Stat { bytes: found.len(), modified_ns }
}

/// Whether a name fits a pattern: `*` stands for any text, `?` for any byte.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                // The last star takes one byte more.
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_say() {
        for (pattern, name, whether) in [
            ("*.csv", "a.csv", true),
            ("*.csv", ".csv", true),
            ("*.csv", "a.csv.tmp", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXcXb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("plays", "plays", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), whether, "{pattern} {name}");
        }
    }

    #[test]
    fn a_folder_is_listed_without_what_is_no_file_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["b.csv", "a.csv", "c.txt", ".hidden.csv"] {
            std::fs::write(path(name), name).unwrap();
        }
        std::fs::create_dir(path("d.csv")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", path("e.csv")).unwrap();
        let names = |path: &Path| {
            let files = list(path).unwrap().into_iter();
            files.map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(folder.path()), ["a.csv", "b.csv", "c.txt"]);
        assert_eq!(names(&path("?.csv")), ["a.csv", "b.csv"]);
        assert_eq!(names(&path("c.txt")), ["c.txt"]);
        let missing = list(&path("none")).unwrap_err();
        assert!(missing.contains("none"), "{missing}");
        assert_eq!(file(folder.path(), "a.csv"), path("a.csv"));
        assert_eq!(file(&path("*.csv"), "a.csv"), path("a.csv"));
    }
}
