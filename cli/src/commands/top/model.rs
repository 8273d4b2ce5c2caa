//! What `tally top` knows and shows: put together from the events of a cluster and the keys of a user.
//! Pure: no terminal, no connection, no clock.

use std::cmp::Reverse;
use std::collections::HashMap;

use tally_common::api::{ClusterView, History, JobView, SlaveView, TaskView, parse_timestamp};
use tally_common::id::JobId;
use tally_proto::convert::ClusterEvent;

use super::followed::Followed;

/// Most ended jobs that are kept in the list; the oldest go first.
const MAX_ENDED: usize = 500;

/// What comes from the connection.
#[derive(Debug)]
pub(super) enum News {
    /// It stands.
    Up,
    /// It broke, for that reason; it is being tried again.
    Down(String),
    /// Something has changed.
    Event(ClusterEvent),
    /// What was asked for.
    Details(Box<Details>),
    /// What became of a request, in words.
    Said(String),
}

/// What is only known of a job when it is asked for.
#[derive(Debug)]
pub(super) struct Details {
    pub(super) job: JobId,
    pub(super) tasks: Vec<TaskView>,
    pub(super) history: History,
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    /// All jobs and slaves.
    List,
    /// One job.
    Job(JobId),
}

/// The order of the jobs, within those that have not ended and those that have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Newest,
    Fastest,
    Largest,
    Name,
}

impl Sort {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest first",
            Self::Fastest => "fastest first",
            Self::Largest => "largest first",
            Self::Name => "by name",
        }
    }

    pub(super) const fn next(self) -> Self {
        match self {
            Self::Newest => Self::Fastest,
            Self::Fastest => Self::Largest,
            Self::Largest => Self::Name,
            Self::Name => Self::Newest,
        }
    }
}

/// All that is known and shown.
#[derive(Debug)]
pub(super) struct Model {
    /// The master.
    pub(super) url: String,
    /// Why there is no connection, where there is none.
    pub(super) down: Option<String>,
    pub(super) cluster: Option<ClusterView>,
    pub(super) slaves: Vec<SlaveView>,
    pub(super) jobs: HashMap<JobId, Followed>,
    pub(super) sort: Sort,
    pub(super) selected: Option<JobId>,
    pub(super) screen: Screen,
    /// The job that is to be cancelled, until the user has confirmed that.
    pub(super) cancelling: Option<JobId>,
    pub(super) help: bool,
    /// What there is to say of the last request.
    pub(super) said: Option<String>,
    pub(super) details: Option<Box<Details>>,
    pub(super) colours: bool,
}

impl Model {
    /// Nothing is known yet of the master at `url`.
    pub(super) fn new(url: String, colours: bool) -> Self {
        Self {
            url,
            down: None,
            cluster: None,
            slaves: Vec::new(),
            jobs: HashMap::new(),
            sort: Sort::Newest,
            selected: None,
            screen: Screen::List,
            cancelling: None,
            help: false,
            said: None,
            details: None,
            colours,
        }
    }

    /// Takes in what has come.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Up => self.down = None,
            News::Down(why) => self.down = Some(why),
            News::Said(words) => self.said = Some(words),
            News::Details(details) => self.details = Some(details),
            News::Event(event) => self.apply(event),
        }
        self.tidy();
    }

    fn apply(&mut self, event: ClusterEvent) {
        match event {
            ClusterEvent::Snapshot(snapshot) => {
                self.cluster = Some(snapshot.cluster);
                self.slaves = snapshot.slaves;
                let mut known = std::mem::take(&mut self.jobs);
                for view in snapshot.jobs {
                    let job = known.remove(&view.id);
                    self.follow(job, view);
                }
            }
            ClusterEvent::Job(view) => {
                let known = self.jobs.remove(&view.id);
                self.follow(known, *view);
            }
            ClusterEvent::Deleted(id) => {
                self.jobs.remove(&id);
            }
            ClusterEvent::Slaves(slaves) => self.slaves = slaves,
            ClusterEvent::Cluster(view) => self.cluster = Some(*view),
        }
    }

    fn follow(&mut self, known: Option<Followed>, view: JobView) {
        let id = view.id;
        let followed = match known {
            Some(mut followed) => {
                followed.update(view);
                followed
            }
            None => Followed::new(view),
        };
        self.jobs.insert(id, followed);
    }

    /// Lets go of what is too old, and of what is not there any more.
    fn tidy(&mut self) {
        let ended = self.jobs.values().filter(|job| job.view.state.ended());
        let mut ended: Vec<JobId> = ended.map(|job| job.view.id).collect();
        if ended.len() > MAX_ENDED {
            ended.sort_unstable_by_key(|id| Reverse(*id));
            for id in &ended[MAX_ENDED..] {
                self.jobs.remove(id);
            }
        }
        let gone = |id: &JobId| !self.jobs.contains_key(id);
        if self.selected.as_ref().is_some_and(gone) {
            self.selected = None;
        }
        if self.cancelling.as_ref().is_some_and(gone) {
            self.cancelling = None;
        }
        if let Screen::Job(id) = self.screen
            && gone(&id)
        {
            self.screen = Screen::List;
            self.said = Some(format!("job {id} is gone"));
        }
    }

    /// The master's time of day, as far as it is known: milliseconds since 1970.
    pub(super) fn now_ms(&self) -> Option<u64> {
        parse_timestamp(&self.cluster.as_ref()?.now)
    }

    /// The jobs in the order that is shown: those that have not ended first.
    pub(super) fn ordered(&self) -> Vec<&Followed> {
        let now = self.now_ms();
        let mut jobs: Vec<_> = self.jobs.values().collect();
        // Ids begin with the time when a job was opened.
        jobs.sort_unstable_by_key(|job| Reverse(job.view.id));
        match self.sort {
            Sort::Newest => {}
            Sort::Fastest => jobs.sort_by_cached_key(|job| Reverse(job.rate(now))),
            Sort::Largest => jobs.sort_by_key(|job| Reverse(job.view.progress.bytes_received)),
            Sort::Name => jobs.sort_by(|a, b| a.view.name.cmp(&b.view.name)),
        }
        jobs.sort_by_key(|job| job.view.state.ended());
        jobs
    }

    /// Where the selected job stands in that order; the first where none is selected.
    pub(super) fn selected_row(&self, jobs: &[&Followed]) -> usize {
        let is = |job: &&Followed| Some(job.view.id) == self.selected;
        jobs.iter().position(is).unwrap_or(0)
    }

    /// What is known of the tasks of a job.
    pub(super) fn details_of(&self, id: JobId) -> Option<&Details> {
        self.details.as_deref().filter(|details| details.job == id)
    }
}
