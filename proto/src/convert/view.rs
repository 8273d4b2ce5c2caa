//! The cluster as a whole, a job's tasks and its history, as clients see them.

use tally_common::api::{
    ClusterCounts, ClusterView, DiskView, History, MemoryView, QueueView, Sample, SetAsideView,
    TaskState, TaskView,
};

use super::{WireError, priority_from_wire, priority_to_wire, wrong};
use crate::v1;

/// The wire form of a cluster.
pub fn cluster_to_wire(view: &ClusterView) -> v1::ClusterView {
    let ClusterCounts { slaves, workers, receiving, running, merging, tasks_running, tasks_queued } =
        view.counts;
    let queue = |queue: &QueueView| v1::Queue {
        priority: priority_to_wire(queue.priority) as i32,
        jobs: queue.jobs,
        tasks: queue.tasks,
    };
    let DiskView { total, free, reserve, full } = view.disk;
    let disk = v1::Disk { total, free, reserve, full };
    let MemoryView { resident, peak, total } = view.memory;
    v1::ClusterView {
        version: view.version.clone(),
        started_at: view.started_at.clone(),
        now: view.now.clone(),
        counts: Some(v1::ClusterCounts {
            slaves,
            workers,
            receiving,
            running,
            merging,
            tasks_running,
            tasks_queued,
        }),
        bytes_per_second: view.bytes_per_second,
        history: view.history.clone(),
        queue: view.queue.iter().map(queue).collect(),
        disk: Some(disk),
        memory: Some(v1::Memory { resident, peak, total }),
        set_aside: view.set_aside.iter().map(aside_to_wire).collect(),
    }
}

/// The wire form of a slave that was set aside.
pub fn aside_to_wire(aside: &SetAsideView) -> v1::SetAside {
    let SetAsideView { name, reason, since } = aside.clone();
    v1::SetAside { name, reason, since }
}

/// A slave that was set aside, from the wire.
pub fn aside_from_wire(wire: v1::SetAside) -> SetAsideView {
    let v1::SetAside { name, reason, since } = wire;
    SetAsideView { name, reason, since }
}

/// A cluster from the wire.
///
/// # Errors
/// [`WireError`] for a priority without a meaning.
pub fn cluster_from_wire(wire: v1::ClusterView) -> Result<ClusterView, WireError> {
    let v1::ClusterCounts {
        slaves,
        workers,
        receiving,
        running,
        merging,
        tasks_running,
        tasks_queued,
    } = wire.counts.unwrap_or_default();
    let queue = |queue: v1::Queue| {
        let priority = priority_from_wire(queue.priority)?;
        Ok(QueueView { priority, jobs: queue.jobs, tasks: queue.tasks })
    };
    let v1::Disk { total, free, reserve, full } = wire.disk.unwrap_or_default();
    let disk = DiskView { total, free, reserve, full };
    let v1::Memory { resident, peak, total } = wire.memory.unwrap_or_default();
    Ok(ClusterView {
        version: wire.version,
        started_at: wire.started_at,
        now: wire.now,
        counts: ClusterCounts {
            slaves,
            workers,
            receiving,
            running,
            merging,
            tasks_running,
            tasks_queued,
        },
        bytes_per_second: wire.bytes_per_second,
        history: wire.history,
        queue: wire.queue.into_iter().map(queue).collect::<Result<_, WireError>>()?,
        disk,
        memory: MemoryView { resident, peak, total },
        set_aside: wire.set_aside.into_iter().map(aside_from_wire).collect(),
    })
}

/// The wire form of a task.
pub fn task_to_wire(task: &TaskView) -> v1::TaskView {
    let state = match task.state {
        TaskState::Queued => v1::TaskState::Queued,
        TaskState::Waiting => v1::TaskState::Waiting,
        TaskState::Running => v1::TaskState::Running,
        TaskState::Done => v1::TaskState::Done,
    };
    v1::TaskView {
        number: task.number,
        byte_offset: task.byte_offset,
        bytes: task.bytes,
        state: state as i32,
        slaves: task.slaves.clone(),
        attempts: task.attempts,
        failures: task.failures,
        bytes_counted: task.bytes_counted,
        records: task.records,
        rejected: task.rejected,
    }
}

/// A task from the wire.
///
/// # Errors
/// [`WireError`] for a state without a meaning.
pub fn task_from_wire(wire: v1::TaskView) -> Result<TaskView, WireError> {
    let state = match v1::TaskState::try_from(wire.state) {
        Ok(v1::TaskState::Queued) => TaskState::Queued,
        Ok(v1::TaskState::Waiting) => TaskState::Waiting,
        Ok(v1::TaskState::Running) => TaskState::Running,
        Ok(v1::TaskState::Done) => TaskState::Done,
        Ok(v1::TaskState::Unspecified) | Err(_) => {
            return Err(wrong("task.state", "unknown value"));
        }
    };
    Ok(TaskView {
        number: wire.number,
        byte_offset: wire.byte_offset,
        bytes: wire.bytes,
        state,
        slaves: wire.slaves,
        attempts: wire.attempts,
        failures: wire.failures,
        bytes_counted: wire.bytes_counted,
        records: wire.records,
        rejected: wire.rejected,
    })
}

/// The wire form of a job's history.
pub fn history_to_wire(history: &History) -> v1::HistoryReply {
    let sample = |sample: &Sample| v1::Sample {
        at_ms: sample.at_ms,
        bytes_received: sample.bytes_received,
        bytes_counted: sample.bytes_counted,
        records: sample.records,
    };
    let samples = history.samples.iter().map(sample).collect();
    v1::HistoryReply { interval_ms: history.interval_ms, samples }
}

/// A job's history from the wire.
pub fn history_from_wire(wire: v1::HistoryReply) -> History {
    let sample = |sample: v1::Sample| Sample {
        at_ms: sample.at_ms,
        bytes_received: sample.bytes_received,
        bytes_counted: sample.bytes_counted,
        records: sample.records,
    };
    let samples = wire.samples.into_iter().map(sample).collect();
    History { interval_ms: wire.interval_ms, samples }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::samples;

    #[test]
    fn clusters_come_back() {
        let view = samples::cluster();
        assert_eq!(cluster_from_wire(cluster_to_wire(&view)), Ok(view));
        let queue = vec![v1::Queue { priority: 9, jobs: 0, tasks: 0 }];
        let wire = v1::ClusterView { queue, ..Default::default() };
        assert_eq!(cluster_from_wire(wire).unwrap_err().field(), "priority");
    }

    #[test]
    fn tasks_come_back() {
        for state in [TaskState::Queued, TaskState::Waiting, TaskState::Running, TaskState::Done] {
            let task = TaskView {
                number: 1,
                byte_offset: 2,
                bytes: 3,
                state,
                slaves: vec!["a".to_owned(), "b".to_owned()],
                attempts: 4,
                failures: 5,
                bytes_counted: 6,
                records: 7,
                rejected: 8,
            };
            assert_eq!(task_from_wire(task_to_wire(&task)), Ok(task));
        }
        assert_eq!(task_from_wire(v1::TaskView::default()).unwrap_err().field(), "task.state");
    }

    #[test]
    fn histories_come_back() {
        let sample = |at_ms| Sample { at_ms, bytes_received: 2, bytes_counted: 3, records: 4 };
        let history = History { interval_ms: 500, samples: vec![sample(0), sample(500)] };
        assert_eq!(history_from_wire(history_to_wire(&history)), history);
    }
}
