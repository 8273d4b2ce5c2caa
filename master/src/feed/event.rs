//! An event: what has happened, its id, and its JSON, which is made when it is first wanted.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use tally_common::api::{ClusterView, JobView, SlaveView};
use tally_common::id::JobId;

/// An event's place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The stream: differs from one process to the next.
    pub epoch: u64,
    /// The number of the event, from 1.
    pub seq: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.epoch, self.seq)
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, seq) = text.split_once('-').ok_or(())?;
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| ())?;
        Ok(Self { epoch, seq: seq.parse().map_err(|_| ())? })
    }
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum FeedKind {
    /// A job has changed, or has come.
    Job(Arc<JobView>),
    /// A job is gone.
    Deleted(JobId),
    /// The slaves as they are now.
    Slaves(Arc<Vec<SlaveView>>),
    /// The cluster as it is now.
    Cluster(Arc<ClusterView>),
}

impl FeedKind {
    /// Its name as streams have it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Job(_) => "job",
            Self::Deleted(_) => "deleted",
            Self::Slaves(_) => "slaves",
            Self::Cluster(_) => "cluster",
        }
    }
}

/// An event.
#[derive(Debug)]
pub struct FeedEvent {
    /// Its place in the stream.
    pub id: EventId,
    /// What has happened.
    pub kind: FeedKind,
    json: OnceLock<Bytes>,
    frame: OnceLock<Bytes>,
}

impl FeedEvent {
    pub(super) const fn new(id: EventId, kind: FeedKind) -> Self {
        Self { id, kind, json: OnceLock::new(), frame: OnceLock::new() }
    }

    /// The event as JSON: a job, `{"id": …}`, `{"slaves": […]}` or a cluster.
    pub fn json(&self) -> &Bytes {
        self.json.get_or_init(|| match &self.kind {
            FeedKind::Job(job) => to_json(&**job),
            FeedKind::Deleted(job) => to_json(&json!({ "id": job })),
            FeedKind::Slaves(slaves) => to_json(&json!({ "slaves": &**slaves })),
            FeedKind::Cluster(cluster) => to_json(&**cluster),
        })
    }

    /// The event as one of server-sent events.
    pub fn frame(&self) -> &Bytes {
        self.frame.get_or_init(|| frame(self.kind.name(), &self.id.to_string(), self.json()))
    }
}

/// A server-sent event. JSON has no line breaks of its own.
pub(crate) fn frame(name: &str, id: &str, json: &[u8]) -> Bytes {
    let mut frame = format!("event: {name}\nid: {id}\ndata: ").into_bytes();
    frame.extend_from_slice(json);
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

fn to_json(value: &impl Serialize) -> Bytes {
    // What is shown has no maps with keys that are not text: it can always be written.
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_they_went() {
        let id = EventId { epoch: 0x19a_b3c4, seq: 42 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "-", "1", "x-1", "1-x", "1-2-3"] {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_frame_is_one_event() {
        let frame = frame("deleted", "1-2", br#"{"id":"a\nb"}"#);
        assert_eq!(&frame[..], b"event: deleted\nid: 1-2\ndata: {\"id\":\"a\\nb\"}\n\n");
    }
}
