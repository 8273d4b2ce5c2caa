//! What changes in a cluster, as clients that watch it are told.

use prost::Message;

use tally_common::api::{ClusterView, JobView, SlaveView};
use tally_common::id::JobId;

use super::{
    WireError, cluster_from_wire, cluster_to_wire, job_from_wire, job_id_from_text, job_to_wire,
    slave_from_wire, slave_to_wire,
};
use crate::v1::{self, cluster_event::Event};

/// Bytes of jobs that a snapshot holds: half of what a message may have, so that there is room for the
/// slaves.
const SNAPSHOT_BYTES: usize = 1 << 20;

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    /// All there is.
    Snapshot(Box<Snapshot>),
    /// A job that is new or has changed.
    Job(Box<JobView>),
    /// A job that is gone.
    Deleted(JobId),
    /// The slaves as they are now.
    Slaves(Vec<SlaveView>),
    /// The cluster as it is now.
    Cluster(Box<ClusterView>),
}

/// All there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The cluster.
    pub cluster: ClusterView,
    /// The slaves.
    pub slaves: Vec<SlaveView>,
    /// Jobs that have not ended, and some that have.
    pub jobs: Vec<JobView>,
}

/// The wire form of an event: more than one message where a snapshot has more jobs than one would hold.
pub fn event_to_wire(id: &str, event: &ClusterEvent) -> Vec<v1::ClusterEvent> {
    let mut rest = Vec::new();
    let event = match event {
        ClusterEvent::Snapshot(snapshot) => {
            let mut jobs: Vec<_> = snapshot.jobs.iter().map(job_to_wire).collect();
            let mut room = SNAPSHOT_BYTES;
            let fit = jobs.iter().take_while(|job| {
                let left = room.checked_sub(job.encoded_len());
                room = left.unwrap_or(0);
                left.is_some()
            });
            rest = jobs.split_off(fit.count());
            Event::Snapshot(v1::Snapshot {
                cluster: Some(cluster_to_wire(&snapshot.cluster)),
                slaves: snapshot.slaves.iter().map(slave_to_wire).collect(),
                jobs,
            })
        }
        ClusterEvent::Job(job) => Event::Job(job_to_wire(job)),
        ClusterEvent::Deleted(job) => Event::Deleted(v1::JobDeleted { job_id: job.to_string() }),
        ClusterEvent::Slaves(slaves) => {
            let slaves = slaves.iter().map(slave_to_wire).collect();
            // Those that are kept out come with the cluster.
            Event::Slaves(v1::SlavesReply { slaves, set_aside: Vec::new() })
        }
        ClusterEvent::Cluster(view) => Event::Cluster(cluster_to_wire(view)),
    };
    let events = std::iter::once(event).chain(rest.into_iter().map(Event::Job));
    events.map(|event| v1::ClusterEvent { id: id.to_owned(), event: Some(event) }).collect()
}

/// An event from the wire, and its id; `None` for one of a kind that this build does not know.
///
/// # Errors
/// [`WireError`] for what makes no sense.
pub fn event_from_wire(
    wire: v1::ClusterEvent,
) -> Result<(String, Option<ClusterEvent>), WireError> {
    let slaves = |slaves: Vec<v1::Slave>| {
        slaves.into_iter().map(slave_from_wire).collect::<Result<Vec<_>, _>>()
    };
    let Some(event) = wire.event else { return Ok((wire.id, None)) };
    let event = match event {
        Event::Snapshot(snapshot) => {
            let jobs = snapshot.jobs.into_iter().map(job_from_wire);
            let cluster = snapshot.cluster.ok_or(WireError::Missing("snapshot.cluster"))?;
            ClusterEvent::Snapshot(Box::new(Snapshot {
                cluster: cluster_from_wire(cluster)?,
                slaves: slaves(snapshot.slaves)?,
                jobs: jobs.collect::<Result<_, _>>()?,
            }))
        }
        Event::Job(job) => ClusterEvent::Job(Box::new(job_from_wire(job)?)),
        Event::Deleted(gone) => ClusterEvent::Deleted(job_id_from_text(&gone.job_id)?),
        Event::Slaves(reply) => ClusterEvent::Slaves(slaves(reply.slaves)?),
        Event::Cluster(view) => ClusterEvent::Cluster(Box::new(cluster_from_wire(view)?)),
    };
    Ok((wire.id, Some(event)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::samples;

    fn there_and_back(event: &ClusterEvent) -> Vec<(String, Option<ClusterEvent>)> {
        let wire = event_to_wire("7-8", event);
        wire.into_iter().map(|event| event_from_wire(event).unwrap()).collect()
    }

    #[test]
    fn events_come_back() {
        let snapshot = Snapshot {
            cluster: samples::cluster(),
            slaves: vec![samples::slave()],
            jobs: vec![samples::job(1), samples::job(2)],
        };
        for event in [
            ClusterEvent::Snapshot(Box::new(snapshot)),
            ClusterEvent::Job(Box::new(samples::job(3))),
            ClusterEvent::Deleted(samples::job(4).id),
            ClusterEvent::Slaves(vec![samples::slave()]),
            ClusterEvent::Cluster(Box::new(samples::cluster())),
        ] {
            assert_eq!(there_and_back(&event), [("7-8".to_owned(), Some(event))]);
        }
        let unknown = v1::ClusterEvent { id: "1-2".to_owned(), event: None };
        assert_eq!(event_from_wire(unknown), Ok(("1-2".to_owned(), None)));
    }

    #[test]
    fn jobs_that_a_snapshot_can_not_hold_follow_it() {
        let jobs: Vec<_> = (0..20_000).map(samples::job).collect();
        let (cluster, slaves) = (samples::cluster(), Vec::new());
        let snapshot = Snapshot { cluster, slaves, jobs: jobs.clone() };
        let wire = event_to_wire("1-1", &ClusterEvent::Snapshot(Box::new(snapshot)));
        assert!(wire.iter().all(|event| event.encoded_len() < 2 * SNAPSHOT_BYTES));
        let mut back = Vec::new();
        for event in wire {
            match event_from_wire(event).unwrap().1.unwrap() {
                ClusterEvent::Snapshot(snapshot) => back.extend(snapshot.jobs),
                ClusterEvent::Job(job) => back.push(*job),
                other => panic!("{other:?}"),
            }
        }
        assert!(back == jobs);
    }
}
