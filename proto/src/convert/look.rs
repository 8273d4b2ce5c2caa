//! Looks at results, and what results come to.

use tally_common::api::{Coverage, DateTotal, KeyTotal, Look, LookQuery, Span, Summary};
use tally_common::id::JobId;

use super::{WireError, job_id_from_text, wrong};
use crate::v1;

/// The wire form of a question for rows.
pub fn look_query_to_wire(job: JobId, query: &LookQuery) -> v1::LookRequest {
    let value = |(column, value): &(String, String)| v1::ColumnValue {
        column: column.clone(),
        value: value.clone(),
    };
    v1::LookRequest {
        job_id: job.to_string(),
        limit: query.limit,
        offset: query.offset,
        equal: query.equal.iter().map(value).collect(),
        prefix: query.prefix.clone().unwrap_or_default(),
        partial: query.partial,
    }
}

/// A question for rows from the wire; a limit of 0 stays one.
///
/// # Errors
/// [`WireError`] where the job's id is not a UUID.
pub fn look_query_from_wire(wire: v1::LookRequest) -> Result<(JobId, LookQuery), WireError> {
    let query = LookQuery {
        limit: wire.limit,
        offset: wire.offset,
        equal: wire.equal.into_iter().map(|equal| (equal.column, equal.value)).collect(),
        prefix: (!wire.prefix.is_empty()).then_some(wire.prefix),
        partial: wire.partial,
    };
    Ok((job_id_from_text(&wire.job_id)?, query))
}

/// The wire form of some rows.
pub fn look_to_wire(look: Look) -> v1::LookReply {
    v1::LookReply {
        columns: look.columns,
        rows: look.rows.into_iter().map(|values| v1::Row { values }).collect(),
        next_offset: look.next_offset,
        total_rows: look.total_rows,
        coverage: look.coverage.map(|coverage| v1::Coverage {
            bytes: coverage.bytes,
            of_bytes: coverage.of_bytes,
            share: coverage.share,
            tasks: coverage.tasks,
        }),
    }
}

/// Some rows from the wire.
///
/// # Errors
/// [`WireError`] for a row that has not a text for every column.
pub fn look_from_wire(wire: v1::LookReply) -> Result<Look, WireError> {
    if wire.rows.iter().any(|row| row.values.len() != wire.columns.len()) {
        return Err(wrong("rows", "a row has not a text for every column"));
    }
    Ok(Look {
        columns: wire.columns,
        rows: wire.rows.into_iter().map(|row| row.values).collect(),
        next_offset: wire.next_offset,
        total_rows: wire.total_rows,
        coverage: wire.coverage.map(|coverage| Coverage {
            bytes: coverage.bytes,
            of_bytes: coverage.of_bytes,
            share: coverage.share,
            tasks: coverage.tasks,
        }),
    })
}

/// The wire form of what a result comes to.
pub fn summary_to_wire(summary: Summary) -> v1::SummaryReply {
    let span = match summary.span {
        Span::Day => v1::Span::Day,
        Span::Month => v1::Span::Month,
        Span::Year => v1::Span::Year,
    };
    let key = |KeyTotal { key, value }| v1::KeyTotal { key, value };
    let date = |DateTotal { date, value }| v1::DateTotal { date, value };
    v1::SummaryReply {
        value: summary.value,
        key: summary.key,
        keys: summary.keys,
        top: summary.top.into_iter().map(key).collect(),
        date: summary.date.unwrap_or_default(),
        span: span as i32,
        dates: summary.dates.into_iter().map(date).collect(),
        rows: summary.rows,
    }
}

/// What a result comes to, from the wire.
///
/// # Errors
/// [`WireError`] for a span without a meaning.
pub fn summary_from_wire(wire: v1::SummaryReply) -> Result<Summary, WireError> {
    let span = match v1::Span::try_from(wire.span) {
        Ok(v1::Span::Unspecified | v1::Span::Day) => Span::Day,
        Ok(v1::Span::Month) => Span::Month,
        Ok(v1::Span::Year) => Span::Year,
        Err(_) => return Err(wrong("span", "unknown value")),
    };
    let key = |v1::KeyTotal { key, value }| KeyTotal { key, value };
    let date = |v1::DateTotal { date, value }| DateTotal { date, value };
    Ok(Summary {
        value: wire.value,
        key: wire.key,
        keys: wire.keys,
        top: wire.top.into_iter().map(key).collect(),
        date: (!wire.date.is_empty()).then_some(wire.date),
        span,
        dates: wire.dates.into_iter().map(date).collect(),
        rows: wire.rows,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn questions_come_back() {
        let job = JobId::from_uuid(Uuid::from_u128(5));
        for partial in [false, true] {
            let query = LookQuery {
                limit: 3,
                offset: 1 << 40,
                equal: vec![("song".to_owned(), "Ähm".to_owned()), (String::new(), "".to_owned())],
                prefix: partial.then(|| "A".to_owned()),
                partial,
            };
            let back = look_query_from_wire(look_query_to_wire(job, &query));
            assert_eq!(back, Ok((job, query)));
        }
        let wire = v1::LookRequest { job_id: "x".to_owned(), ..Default::default() };
        assert_eq!(look_query_from_wire(wire).unwrap_err().field(), "job_id");
    }

    #[test]
    fn rows_come_back() {
        let look = Look {
            columns: vec!["Song".to_owned(), "Plays".to_owned()],
            rows: vec![vec!["a".to_owned(), "1".to_owned()], vec![String::new(), "2".to_owned()]],
            next_offset: Some(0),
            total_rows: Some(9),
            coverage: Some(Coverage { bytes: 1, of_bytes: 4, share: 0.25, tasks: 2 }),
        };
        assert_eq!(look_from_wire(look_to_wire(look.clone())), Ok(look));
        assert_eq!(look_from_wire(look_to_wire(Look::default())), Ok(Look::default()));
        let short = v1::LookReply {
            rows: vec![v1::Row { values: vec![String::new()] }],
            ..Default::default()
        };
        assert_eq!(look_from_wire(short).unwrap_err().field(), "rows");
    }

    #[test]
    fn summaries_come_back() {
        for span in [Span::Day, Span::Month, Span::Year] {
            let summary = Summary {
                value: "Plays".to_owned(),
                key: "Song".to_owned(),
                keys: 7,
                top: vec![KeyTotal { key: "a".to_owned(), value: "9".repeat(30) }],
                date: Some("Date".to_owned()),
                span,
                dates: vec![DateTotal { date: "2026-01-01".to_owned(), value: "1".to_owned() }],
                rows: 8,
            };
            assert_eq!(summary_from_wire(summary_to_wire(summary.clone())), Ok(summary));
        }
        assert_eq!(summary_from_wire(summary_to_wire(Summary::default())), Ok(Summary::default()));
    }
}
