//! Forgetting what has been kept for long enough: history and message ids, a little at a time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::handle::Handle;
use super::{Inner, Keep, TablesError};
use crate::store::table::meta;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(30);

/// Entries that one transaction removes: nobody waits long for it.
const AT_ONCE: u32 = 5_000;

/// Looks as long as there are the tables.
pub(super) async fn run(inner: Weak<Inner>, keep: Keep) {
    let mut times = interval(EVERY);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = once(&inner, keep).await {
            warn!(%error, "what is old could not be removed from the tables");
        }
    }
}

async fn once(inner: &Inner, keep: Keep) -> Result<(), TablesError> {
    let now = inner.clock.unix_ms();
    let before = |kept: Duration| now.saturating_sub(kept.as_millis() as u64);
    loop {
        let mut tx = inner.db.write().await?;
        let more = meta::expire_operations(&mut tx, before(keep.message_ids), AT_ONCE).await?;
        tx.commit().await?;
        if !more {
            break;
        }
    }
    for handle in inner.all() {
        while expire(&handle, before(keep.history)).await? {}
    }
    Ok(())
}

/// Removes some of a table's history; gives whether there may be more.
async fn expire(handle: &Arc<Handle>, before_ms: u64) -> Result<bool, TablesError> {
    let turn = handle.turn().await?;
    let mut tx = handle.db.write().await?;
    let (last, more) = meta::expire_history(&mut tx, handle.sql.id, before_ms, AT_ONCE).await?;
    let Some(last) = last else {
        turn.leave();
        return Ok(false);
    };
    let mut counters = turn.counters;
    counters.kept_from = counters.kept_from.max(last);
    meta::move_counters(&mut tx, handle.sql.id, counters).await?;
    turn.commit(tx, counters).await?;
    Ok(more)
}
