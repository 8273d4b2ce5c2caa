//! Looks over HTTP: `GET …/result` and `GET …/rejects` with a limit, an offset or conditions.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};

use tally_common::api::{Coverage, Look, LookQuery};
use tally_common::value::write_text;

use super::problem::Problem;
use crate::jobs::MAX_ROWS;

/// Rows of a look, where the client does not say.
const ROWS: u32 = 100;

/// What a request for a result is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it.
    Whole,
    /// All that has been counted so far.
    Partial,
    /// Some rows.
    Look(LookQuery),
}

/// Reads the query string of a request for a result: what it does not know is a column.
pub(super) fn parse(query: Option<&str>) -> Result<Asked, Problem> {
    let mut wanted = LookQuery { limit: ROWS, ..LookQuery::default() };
    let mut looks = false;
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match key.as_ref() {
            // How it is written, which is not asked here.
            "format" => continue,
            "partial" => {
                let problem = || Problem::bad_request("the parameter partial: true or false");
                wanted.partial = value.parse().map_err(|_| problem())?;
                continue;
            }
            "limit" => wanted.limit = limit(&value)?,
            "offset" => wanted.offset = offset(&value)?,
            "prefix" => wanted.prefix = Some(value.into_owned()),
            _ => wanted.equal.push((key.into_owned(), value.into_owned())),
        }
        looks = true;
    }
    Ok(match (looks, wanted.partial) {
        (true, _) => Asked::Look(wanted),
        (false, true) => Asked::Partial,
        (false, false) => Asked::Whole,
    })
}

/// Reads the query string of a request for rejects: the limit and the offset of a page, or nothing.
pub(super) fn parse_page(query: Option<&str>) -> Result<Option<(u32, u64)>, Problem> {
    let mut page = None;
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let (rows, from) = page.unwrap_or((ROWS, 0));
        page = Some(match key.as_ref() {
            "limit" => (limit(&value)?, from),
            "offset" => (rows, offset(&value)?),
            "format" => continue,
            _ => {
                let detail = format!("there is no parameter {key:?}: limit, offset and format are");
                return Err(Problem::bad_request(detail));
            }
        });
    }
    Ok(page)
}

fn limit(value: &str) -> Result<u32, Problem> {
    let limit = value.parse().ok().filter(|limit| (1..=MAX_ROWS).contains(limit));
    limit.ok_or_else(|| Problem::bad_request(format!("limit: a number from 1 to {MAX_ROWS}")))
}

fn offset(value: &str) -> Result<u64, Problem> {
    // Numbers that JSON and SQLite can hold.
    let offset = value.parse().ok().filter(|offset| *offset <= i64::MAX as u64);
    offset.ok_or_else(|| Problem::bad_request("offset: a number of rows to pass over"))
}

/// A look as JSON, if that is what the client wants, else as CSV.
pub(super) fn answer(look: &Look, uri: &Uri, headers: &HeaderMap) -> Response {
    if wants_json(uri.query(), headers) {
        return Json(look).into_response();
    }
    let mut rows = Vec::new();
    write_row(&look.columns, &mut rows);
    look.rows.iter().for_each(|row| write_row(row, &mut rows));
    let said = [
        ("tally-next-offset", look.next_offset.map(|next| next.to_string())),
        ("tally-total-rows", look.total_rows.map(|total| total.to_string())),
        ("tally-coverage", look.coverage.map(|coverage| covered(&coverage))),
    ];
    let mut response = rows.into_response();
    let headers = response.headers_mut();
    for (name, value) in said {
        if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let attached = HeaderValue::from_static("attachment; filename=\"rows.csv\"");
    headers.insert(header::CONTENT_DISPOSITION, attached);
    response
}

/// The share of the input that a partial result covers, as a header says it.
pub(super) fn covered(coverage: &Coverage) -> String {
    format!("bytes={}/{}", coverage.bytes, coverage.of_bytes)
}

fn wants_json(query: Option<&str>, headers: &HeaderMap) -> bool {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    if let Some((_, format)) = pairs.find(|(key, _)| key == "format") {
        return format == "json";
    }
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}

fn write_row(fields: &[String], out: &mut Vec<u8>) {
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(field.as_bytes(), out);
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_shows_in_the_parameters() {
        assert_eq!(parse(None).unwrap(), Asked::Whole);
        assert_eq!(parse(Some("format=jsonl")).unwrap(), Asked::Whole);
        assert_eq!(parse(Some("partial=false")).unwrap(), Asked::Whole);
        assert_eq!(parse(Some("partial=true")).unwrap(), Asked::Partial);
        let query = "song=A%26B&date=2024-01-01&limit=5&offset=7&prefix=x&partial=true";
        let Asked::Look(look) = parse(Some(query)).unwrap() else { panic!("no look") };
        assert_eq!((look.limit, look.offset, look.partial), (5, 7, true));
        assert_eq!(look.prefix.as_deref(), Some("x"));
        let song = ("song".to_owned(), "A&B".to_owned());
        assert_eq!(look.equal, [song, ("date".to_owned(), "2024-01-01".to_owned())]);
        for bad in ["limit=0", "limit=10001", "offset=-1", "partial=yes", "limit=x"] {
            assert!(parse(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn pages_of_rejects_have_a_limit_and_an_offset() {
        assert_eq!(parse_page(None).unwrap(), None);
        assert_eq!(parse_page(Some("offset=3")).unwrap(), Some((ROWS, 3)));
        assert_eq!(parse_page(Some("limit=2&format=json")).unwrap(), Some((2, 0)));
        assert!(parse_page(Some("song=x")).is_err());
    }
}
