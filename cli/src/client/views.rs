//! What can be seen of jobs and of the cluster: pages, rows, tasks, and all that changes.

use anyhow::Context;
use tonic::Streaming;

use tally_common::api::{
    ClusterView, History, JobList, JobQuery, Look, LookQuery, SetAsideView, SlaveView, TaskView,
};
use tally_common::id::JobId;
use tally_proto::convert::{
    ClusterEvent, aside_from_wire, cluster_from_wire, event_from_wire, history_from_wire,
    list_from_wire, look_from_wire, look_query_to_wire, query_to_wire, slave_from_wire,
    task_from_wire,
};
use tally_proto::v1::{
    self, ClusterRequest, HistoryRequest, RejectsPageRequest, SlavesRequest, TasksRequest,
    TrustSlaveRequest, WatchClusterRequest,
};

use super::{Client, NONSENSE, Outcome, refused};

impl Client {
    /// A page of jobs.
    pub(crate) async fn page(&mut self, query: &JobQuery) -> Outcome<JobList> {
        let reply = self.0.list(query_to_wire(query)).await.map_err(refused)?;
        list_from_wire(reply.into_inner()).context(NONSENSE)
    }

    /// Some rows of a result.
    pub(crate) async fn look(&mut self, id: JobId, query: &LookQuery) -> Outcome<Look> {
        let reply = self.0.look(look_query_to_wire(id, query)).await.map_err(refused)?;
        look_from_wire(reply.into_inner()).context(NONSENSE)
    }

    /// Some records of a job's rejects.
    pub(crate) async fn rejects_page(
        &mut self,
        id: JobId,
        limit: u32,
        offset: u64,
    ) -> Outcome<Look> {
        let request = RejectsPageRequest { job_id: id.to_string(), limit, offset };
        let reply = self.0.rejects_page(request).await.map_err(refused)?;
        look_from_wire(reply.into_inner()).context(NONSENSE)
    }

    /// All tasks of a job.
    pub(crate) async fn tasks(&mut self, id: JobId) -> Outcome<Vec<TaskView>> {
        let (mut tasks, mut from) = (Vec::new(), 0);
        loop {
            let request = TasksRequest { job_id: id.to_string(), from };
            let reply = self.0.tasks(request).await.map_err(refused)?.into_inner();
            for task in reply.tasks {
                tasks.push(task_from_wire(task).context(NONSENSE)?);
            }
            match reply.next {
                Some(next) if next > from => from = next,
                _ => return Ok(tasks),
            }
        }
    }

    /// How a job went on over time.
    pub(crate) async fn history(&mut self, id: JobId) -> Outcome<History> {
        let request = HistoryRequest { job_id: id.to_string() };
        Ok(history_from_wire(self.0.history(request).await.map_err(refused)?.into_inner()))
    }

    /// The slaves that are joined, and those that are kept out.
    pub(crate) async fn slaves(&mut self) -> Outcome<(Vec<SlaveView>, Vec<SetAsideView>)> {
        let reply = self.0.slaves(SlavesRequest {}).await.map_err(refused)?.into_inner();
        let slaves = reply.slaves.into_iter().map(slave_from_wire);
        let slaves = slaves.collect::<Result<_, _>>().context(NONSENSE)?;
        Ok((slaves, reply.set_aside.into_iter().map(aside_from_wire).collect()))
    }

    /// Lets a slave in again that was set aside.
    pub(crate) async fn trust_slave(&mut self, name: String) -> Outcome<()> {
        self.0.trust_slave(TrustSlaveRequest { name }).await.map_err(refused)?;
        Ok(())
    }

    pub(crate) async fn cluster(&mut self) -> Outcome<ClusterView> {
        let reply = self.0.cluster(ClusterRequest {}).await.map_err(refused)?.into_inner();
        cluster_from_wire(reply).context(NONSENSE)
    }

    /// All that changes from now on, or behind the event with the id `last`.
    pub(crate) async fn watch_cluster(&mut self, last: &str) -> Outcome<Events> {
        let request = WatchClusterRequest { last_event_id: last.to_owned() };
        Ok(Events(self.0.watch_cluster(request).await.map_err(refused)?.into_inner()))
    }
}

/// What changes in a cluster.
pub(crate) struct Events(Streaming<v1::ClusterEvent>);

impl Events {
    /// The next event, with its id. An error where the connection ends: events have no last one.
    pub(crate) async fn next(&mut self) -> Outcome<(String, ClusterEvent)> {
        loop {
            let event = self.0.message().await.map_err(refused)?;
            let event = event.context("the master has ended the stream of events")?;
            // Events of kinds that later versions know are none of ours.
            if let (id, Some(event)) = event_from_wire(event).context(NONSENSE)? {
                return Ok((id, event));
            }
        }
    }
}
