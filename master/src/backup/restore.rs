//! A data folder out of a copy. The store comes last: a folder without one is not taken for a master's.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::manifest::{self, Entry, Manifest};
use super::{BackupError, Copied, STORE, STORE_ID, copy};

/// Makes a data folder of a copy. The folder must be empty, or not be there. Each file is checked by length
/// and checksum as it lies in its new place.
///
/// # Errors
/// [`BackupError`]; what was restored by then is removed.
pub fn restore(from: &Path, data: &Path) -> Result<Copied, BackupError> {
    let manifest = Manifest::read(from)?;
    copy::make_empty(data)?;
    let restored = all(&manifest, from, data);
    if restored.is_err() {
        // It was empty before.
        for entry in fs::read_dir(data).into_iter().flatten().flatten() {
            let path = entry.path();
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if let Err(error) = removed {
                return Err(BackupError::at(&path)(error));
            }
        }
    }
    restored
}

fn all(manifest: &Manifest, from: &Path, data: &Path) -> Result<Copied, BackupError> {
    for folder in manifest.folders()? {
        let folder = data.join(folder);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(BackupError::at(&folder))?;
    }
    let (last, first): (Vec<&Entry>, Vec<&Entry>) =
        manifest.files.iter().partition(|file| [STORE, STORE_ID].contains(&&*file.path));
    for entry in first.into_iter().chain(last) {
        file(entry, from, data)?;
    }
    File::open(data).and_then(|folder| folder.sync_all()).map_err(BackupError::at(data))?;
    Ok(Copied {
        files: manifest.files.len(),
        bytes: manifest.files.iter().map(|file| file.size).sum(),
        store_elsewhere: manifest.files.iter().all(|file| file.path != STORE),
        gone: Vec::new(),
    })
}

fn file(entry: &Entry, from: &Path, data: &Path) -> Result<(), BackupError> {
    let path = entry.path()?;
    let (source, target) = (from.join(&path), data.join(&path));
    let metadata = fs::symlink_metadata(&source)
        .map_err(|error| BackupError::Damaged(format!("{}: {error}", source.display())))?;
    if !metadata.is_file() {
        return Err(BackupError::Damaged(format!("{} is no file", source.display())));
    }
    if let Some(folder) = target.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(BackupError::at(folder))?;
    }
    copy::copy(&source, &target, metadata.permissions()).map_err(BackupError::at(&target))?;
    let found = manifest::sum(&target).map_err(BackupError::at(&target))?;
    if found != (entry.size, entry.crc32c) {
        return Err(BackupError::Damaged(format!(
            "{} has {} bytes with CRC-32C {:08x}, the manifest says {} with {:08x}",
            entry.path, found.0, found.1, entry.size, entry.crc32c
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A copy of a folder with a key in it and a file of a job.
    fn copied() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (data, to) = (folder.path().join("data"), folder.path().join("backup"));
        fs::create_dir_all(data.join("jobs/1/runs")).unwrap();
        let store = rusqlite::Connection::open(data.join(STORE)).unwrap();
        store
            .execute_batch(
                "create table jobs (id text, view text, in_place text);
                 create table inputs (job text, number integer, path text);
                 create table tasks (job text, input integer, byte_offset integer, bytes integer);
                 insert into jobs values ('1', null, null);",
            )
            .unwrap();
        fs::write(data.join("keys.json"), "{}").unwrap();
        fs::set_permissions(data.join("keys.json"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(data.join("jobs/1/runs/0.run"), vec![7; 3 << 20]).unwrap();
        fs::create_dir_all(data.join("jobs/1/spool")).unwrap();
        fs::write(data.join("lock"), "").unwrap();
        super::super::take(&data, &to, "0").unwrap();
        (folder, to)
    }

    #[test]
    fn a_copy_becomes_the_same_folder_again() {
        let (folder, from) = copied();
        let data = folder.path().join("new");
        let restored = restore(&from, &data).unwrap();
        assert_eq!((restored.files, restored.store_elsewhere), (3, false));
        let key = fs::metadata(data.join("keys.json")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
        assert!(fs::read(data.join("jobs/1/runs/0.run")).unwrap() == vec![7; 3 << 20]);
        assert!(data.join("jobs/1/spool").is_dir(), "a master expects it");
        assert!(data.join(STORE).exists() && !data.join("lock").exists());
        let again = restore(&from, &data);
        assert!(matches!(again, Err(BackupError::NotEmpty(_))), "{again:?}");
    }

    #[test]
    fn a_copy_that_is_damaged_or_not_whole_is_refused_and_leaves_nothing() {
        let (folder, from) = copied();
        let data = folder.path().join("new");
        let refused = || {
            let error = restore(&from, &data).unwrap_err();
            assert!(matches!(error, BackupError::Damaged(_)), "{error}");
            assert!(fs::read_dir(&data).is_ok_and(|mut left| left.next().is_none()));
        };
        let run = from.join("jobs/1/runs/0.run");
        let mut bytes = fs::read(&run).unwrap();
        bytes[2 << 20] ^= 1;
        fs::write(&run, &bytes).unwrap();
        refused();
        fs::remove_file(&run).unwrap();
        refused();
        let manifest = fs::read_to_string(from.join("manifest.json")).unwrap();
        let outside = manifest.replace("jobs/1/runs/0.run", "../outside");
        fs::write(from.join("manifest.json"), outside).unwrap();
        refused();
        fs::remove_file(from.join("manifest.json")).unwrap();
        refused();
    }
}
