//! What the tests of the coordinator's parts begin with.

use std::path::Path;

use tokio::sync::mpsc;

use super::Message;
use crate::config::Config;
use crate::disk::Disk;
use crate::feed::Feed;
use crate::readers::Readers;
use crate::store::Store;
use crate::tables::Tables;

/// A coordinator with a store in a folder, and that store.
pub(super) async fn start(folder: &Path) -> (mpsc::Sender<Message>, Store) {
    let store = Store::open(folder).await.unwrap();
    let coordinator = super::start(
        Config::new(folder.to_owned()),
        Disk::new(folder.to_owned(), 0),
        Readers::default(),
        Some(store.clone()),
        Feed::new(1),
        Tables::default(),
    );
    (coordinator.await.unwrap(), store)
}
