//! Which data folder belongs to which store: a store elsewhere knows the folder that has the files of its
//! jobs, and that folder knows the store. A master with the one and not the other would take files for
//! left behind, and remove them.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use uuid::Uuid;

use super::StoreError;

/// The store of a folder that has its own.
pub(super) const FILE: &str = "tally.db";

/// Says which store elsewhere a folder belongs to.
const ID: &str = "store-id";

/// That a folder has, or may have, a store of its own.
pub(super) fn check_own(data: &Path) -> Result<(), StoreError> {
    if !data.join(FILE).exists() && data.join(ID).exists() {
        return Err(StoreError::Folder(format!(
            "the jobs in {} are known to a Postgres: name it by --store, or take another --data-dir",
            data.display()
        )));
    }
    Ok(())
}

/// That a folder belongs to the store that knows it as `known`, or that both are new. Gives the folder's
/// id, which the store is to keep.
pub(super) fn check_elsewhere(
    data: &Path,
    known: Option<&str>,
    store: &str,
) -> Result<String, StoreError> {
    let shown = data.display();
    let refuse = |text: String| Err(StoreError::Folder(text));
    let id = read(data).map_err(|error| StoreError::Folder(format!("{shown}: {error}")))?;
    match (id, known) {
        (Some(id), Some(known)) if id == known => Ok(id),
        (Some(_), Some(_)) => refuse(format!(
            "{store} knows the jobs of another data folder than {shown}: name the right one by --data-dir"
        )),
        (None, Some(known)) => refuse(format!(
            "{store} knows the jobs of another data folder than {shown}: name that one by --data-dir. If \
             it is lost for good, write {known} to {shown}/{ID}: unfinished jobs then fail, and results are \
             gone"
        )),
        (_, None) if has_jobs(data) => refuse(format!(
            "{shown} has jobs that {store} does not know: name their own store by --store (or none, if it \
             is {FILE}), or take another --data-dir"
        )),
        (Some(id), None) => Ok(id),
        (None, None) => {
            let id = Uuid::new_v4().to_string();
            write(data, &id)
                .map_err(|error| StoreError::Folder(format!("{shown}/{ID}: {error}")))?;
            Ok(id)
        }
    }
}

fn has_jobs(data: &Path) -> bool {
    let jobs = std::fs::read_dir(data.join("jobs"));
    data.join(FILE).exists() || jobs.is_ok_and(|mut jobs| jobs.next().is_some())
}

fn read(data: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(data.join(ID)) {
        Ok(id) => Ok(Some(id.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Durable before the store hears of it: else a power cut could leave a store whose folder is a stranger.
fn write(data: &Path, id: &str) -> io::Result<()> {
    let mut file = File::create(data.join(ID))?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_a_store_that_are_not_of_each_other_are_refused() {
        let data = tempfile::tempdir().unwrap();
        let data = data.path();
        let id = check_elsewhere(data, None, "it").unwrap();
        assert_eq!(check_elsewhere(data, Some(&id), "it").unwrap(), id);
        // The store heard nothing of it, and has no jobs.
        assert_eq!(check_elsewhere(data, None, "it").unwrap(), id);
        let said = |known| check_elsewhere(data, known, "it").unwrap_err().to_string();
        assert!(said(Some("another")).contains("--data-dir"));
        assert!(check_own(data).unwrap_err().to_string().contains("--store"));
        std::fs::create_dir_all(data.join("jobs/1")).unwrap();
        assert!(said(None).contains("does not know"));
        std::fs::remove_file(data.join(ID)).unwrap();
        assert!(said(None).contains("does not know"));
        let lost = said(Some("6f1c"));
        assert!(lost.contains("6f1c") && lost.contains(ID), "{lost}");
    }
}
