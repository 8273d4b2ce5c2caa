//! What can be seen of jobs and of the cluster, in messages of a bounded size.

use prost::Message;
use tonic::Status;

use tally_common::api::{JobQuery, Look, LookQuery};
use tally_common::id::JobId;
use tally_common::limits::FRAME_BYTES;
use tally_proto::convert::{
    WireError, job_to_wire, list_to_wire, look_query_from_wire, look_to_wire, query_from_wire,
    task_to_wire,
};
use tally_proto::v1::{ListReply, ListRequest, LookReply, LookRequest, TasksReply};

use super::errors::refused;
use crate::jobs::{Jobs, MAX_PAGE, MAX_ROWS};

/// Most tasks in a reply: about 100 bytes each, so that a message holds them with room to spare.
const MAX_TASKS: usize = 10_000;

/// Rows in a reply, where the client does not say.
const ROWS: u32 = 100;

/// `List`
pub(super) async fn list(jobs: &Jobs, request: ListRequest) -> Result<ListReply, Status> {
    let query = query_from_wire(request).map_err(refused)?;
    if query == JobQuery::default() {
        let jobs = jobs.list().await?;
        let jobs = jobs.iter().map(|job| job_to_wire(job)).collect();
        return Ok(ListReply { jobs, next: String::new() });
    }
    let limit = if query.limit == 0 { MAX_PAGE } else { query.limit };
    Ok(list_to_wire(&jobs.page(&JobQuery { limit, ..query }).await?))
}

/// `Tasks`
pub(super) async fn tasks(jobs: &Jobs, id: JobId, from: u32) -> Result<TasksReply, Status> {
    let tasks = jobs.tasks(id).await?;
    let rest = &tasks[tasks.partition_point(|task| task.number < from)..];
    Ok(TasksReply {
        tasks: rest.iter().take(MAX_TASKS).map(task_to_wire).collect(),
        next: rest.get(MAX_TASKS).map(|task| task.number),
    })
}

/// `Look`
pub(super) async fn look(jobs: &Jobs, request: LookRequest) -> Result<LookReply, Status> {
    let (id, query) = look_query_from_wire(request).map_err(refused)?;
    let query = LookQuery { limit: limit(query.limit)?, ..query };
    let offset = query.offset;
    Ok(rows(jobs.look(id, query).await?, offset))
}

/// `RejectsPage`
pub(super) async fn rejects(
    jobs: &Jobs,
    id: JobId,
    wanted: u32,
    offset: u64,
) -> Result<LookReply, Status> {
    Ok(rows(jobs.rejects_page(id, limit(wanted)?, offset).await?, offset))
}

fn limit(wanted: u32) -> Result<u32, Status> {
    match wanted {
        0 => Ok(ROWS),
        1..=MAX_ROWS => Ok(wanted),
        _ => {
            let problem = format!("at most {MAX_ROWS}");
            Err(refused(WireError::Field { field: "limit", problem }))
        }
    }
}

/// Rows as far as a message holds them; the others are to be asked for.
fn rows(look: Look, offset: u64) -> LookReply {
    let mut reply = look_to_wire(look);
    let mut bytes = 0;
    let fit = reply.rows.iter().take_while(|row| {
        bytes += row.encoded_len();
        bytes <= FRAME_BYTES
    });
    // One row always goes, and if it is too large for a message, the client is told so.
    let fit = fit.count().max(1);
    if fit < reply.rows.len() {
        reply.rows.truncate(fit);
        reply.next_offset = Some(offset + fit as u64);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(rows: usize, bytes: usize) -> Look {
        let rows = vec![vec!["x".repeat(bytes), String::new()]; rows];
        let columns = vec!["a".to_owned(), "b".to_owned()];
        Look { columns, rows, next_offset: None, total_rows: Some(10), coverage: None }
    }

    #[test]
    fn what_a_message_can_not_hold_is_to_be_asked_for() {
        let all = rows(look(10, 10), 5);
        assert_eq!((all.rows.len(), all.next_offset), (10, None));
        let some = rows(look(10, 400_000), 5);
        assert_eq!((some.rows.len(), some.next_offset), (2, Some(7)));
        assert!(some.encoded_len() < 2 * FRAME_BYTES);
        let one = rows(look(2, 3_000_000), 0);
        assert_eq!((one.rows.len(), one.next_offset), (1, Some(1)));
    }
}
