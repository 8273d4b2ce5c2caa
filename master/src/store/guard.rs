//! Keeps two masters from writing to one Postgres. A connection of its own holds a lock as long as the
//! master lives; where that connection is lost, nothing is written until the lock is had again. Each
//! transaction besides looks at the epoch, which the next master counts up when it starts: a master that
//! was cut off for so long that another one took over writes nothing more, whatever it believes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::StoreError;
use super::postgres::{PATIENCE, connect};

/// How often the guard's connection is looked at, if nobody says that it may be broken.
const LOOK: Duration = Duration::from_secs(1);

/// How often a lock that is held is asked for at the start, and the pause between: the server may not have
/// noticed yet that the last master is gone.
const TRIES: u32 = 20;
const TRY_PAUSE: Duration = Duration::from_millis(100);

/// Pauses before a lost server is tried again: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How the master stands to its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Held,
    /// The connection is lost; maybe it comes back.
    Lost,
    /// Another master has it.
    TakenOver,
    /// It was let go.
    Closed,
}

/// The guard of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Guard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: String,
    epoch: i64,
    standing: watch::Sender<Standing>,
    /// Somebody thinks that the connection may be lost.
    doubt: Arc<Notify>,
}

impl Guard {
    /// Watches over a lock that `connection` holds.
    pub(super) fn watch(
        options: PgConnectOptions,
        store: String,
        epoch: i64,
        connection: PgConnection,
    ) -> Self {
        let doubt = Arc::new(Notify::new());
        let standing = watch::Sender::new(Standing::Held);
        let shared = Arc::new(Shared { store, epoch, standing, doubt: Arc::clone(&doubt) });
        tokio::spawn(hold(Arc::downgrade(&shared), doubt, options, connection));
        Self(shared)
    }

    /// That the lock is held, as far as is known. Does not wait: while the server is away, whoever asks
    /// is told at once.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let store = self.0.store.clone();
        match *self.0.standing.borrow() {
            Standing::Held => Ok(()),
            Standing::Lost => {
                let problem = "the connection is lost; it is tried again and again".to_owned();
                Err(StoreError::Unreachable { store, problem })
            }
            Standing::TakenOver => Err(StoreError::TakenOver { store }),
            Standing::Closed => Err(sqlx::Error::PoolClosed.into()),
        }
    }

    /// That no other master has taken over, and that none does before the transaction ends.
    pub(super) async fn fence(&self, tx: &mut Transaction<'_, Postgres>) -> Result<(), StoreError> {
        let sql = "select 1 from tally_lock where epoch = $1 for share";
        let mine = sqlx::query(sql).bind(self.0.epoch).fetch_optional(&mut **tx).await?;
        if mine.is_none() {
            self.0.standing.send_replace(Standing::TakenOver);
            return Err(StoreError::TakenOver { store: self.0.store.clone() });
        }
        Ok(())
    }

    /// Has the connection looked at, since something failed.
    pub(super) fn doubt(&self) {
        self.0.doubt.notify_one();
    }

    /// Waits until another master has taken the store over, and gives the error that says so.
    pub(super) async fn taken_over(&self) -> StoreError {
        let mut standing = self.0.standing.subscribe();
        // It can not end while this guard holds the sender.
        let _ = standing.wait_for(|standing| *standing == Standing::TakenOver).await;
        StoreError::TakenOver { store: self.0.store.clone() }
    }

    /// Lets go of the lock.
    pub(super) fn close(&self) {
        self.0.standing.send_replace(Standing::Closed);
        self.doubt();
    }
}

/// Takes the lock of a database for this session.
pub(super) async fn take_lock(
    connection: &mut PgConnection,
    store: &str,
) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        if try_lock(connection).await? {
            return Ok(());
        }
        sleep(TRY_PAUSE).await;
    }
    Err(StoreError::InUse { store: store.to_owned() })
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // Stores of several schemas of one database do not stand in each other's way.
    let sql = "select pg_try_advisory_lock(hashtext('tally'), hashtext(current_schema()::text))";
    let (taken,): (bool,) = sqlx::query_as(sql).fetch_one(connection).await?;
    Ok(taken)
}

/// Holds the lock until the guard lets it go or is gone, or another master has it.
async fn hold(
    shared: Weak<Shared>,
    doubt: Arc<Notify>,
    options: PgConnectOptions,
    mut connection: PgConnection,
) {
    loop {
        tokio::select! {
            () = sleep(LOOK) => {}
            () = doubt.notified() => {}
        }
        let Some(shared) = shared.upgrade().filter(|shared| shared.wanted()) else {
            // The server sees that it is closed, at the latest when this process ends.
            let _ = timeout(PATIENCE, connection.close()).await;
            return;
        };
        if matches!(timeout(PATIENCE, connection.ping()).await, Ok(Ok(()))) {
            continue;
        }
        if !shared.becomes(Standing::Lost) {
            return;
        }
        warn!(store = %shared.store, "the store is lost; it is tried again and again");
        let Some(again) = shared.regain(&options).await else { return };
        connection = again;
        if !shared.becomes(Standing::Held) {
            return;
        }
        info!(store = %shared.store, "the store is there again");
    }
}

impl Shared {
    fn wanted(&self) -> bool {
        !matches!(*self.standing.borrow(), Standing::Closed | Standing::TakenOver)
    }

    /// Changes where it stands, unless it is over already: `false` then.
    fn becomes(&self, next: Standing) -> bool {
        self.standing.send_if_modified(|standing| {
            let changes = matches!(standing, Standing::Held | Standing::Lost);
            if changes {
                *standing = next;
            }
            changes
        })
    }

    /// Connects and takes the lock once more. `None` where that is not wanted any more, or never can be.
    async fn regain(&self, options: &PgConnectOptions) -> Option<PgConnection> {
        let mut pause = FIRST_PAUSE;
        while self.wanted() {
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
            let Ok(mut connection) = connect(options, &self.store).await else { continue };
            // First the lock, then the look: what the epoch is then, it stays.
            let Ok(Ok(locked)) = timeout(PATIENCE, try_lock(&mut connection)).await else {
                continue;
            };
            let epoch = sqlx::query_as("select epoch from tally_lock").fetch_one(&mut connection);
            let Ok(Ok((epoch,))) = timeout(PATIENCE, epoch).await else { continue };
            let epoch: i64 = epoch;
            if epoch != self.epoch {
                error!(store = %self.store, "another master has taken over the store");
                self.becomes(Standing::TakenOver);
                return None;
            }
            if locked {
                return Some(connection);
            }
        }
        None
    }
}
