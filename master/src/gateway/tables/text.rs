//! How rows are written: CSV (RFC 4180), JSON, JSON lines. Attachments throughout: a browser must never show
//! what strangers have put into a table.

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value as Json;

use tally_common::value::write_text;

use super::super::formulas::Plain;
use super::super::problem::Problem;
use super::parameters::pairs;

/// A form of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    /// An array, or a page with what belongs to it.
    Json,
    /// An object a line.
    JsonLines,
}

impl Form {
    const ALL: [Self; 3] = [Self::Csv, Self::Json, Self::JsonLines];

    /// The end of a file's name, and how it is asked for.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::JsonLines => "jsonl",
        }
    }

    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::JsonLines => "application/x-ndjson",
        }
    }

    /// The form that a request names, or the first of `offered` that it accepts; the first of all where it
    /// does not say.
    pub(super) fn wanted(
        query: Option<&str>,
        headers: &HeaderMap,
        offered: &[Self],
    ) -> Result<Self, Problem> {
        if let Some((_, name)) = pairs(query).filter(|(key, _)| key == "format").last() {
            let named = Self::ALL.into_iter().find(|form| form.name() == name);
            return named.filter(|form| offered.contains(form)).ok_or_else(|| {
                let names: Vec<_> = offered.iter().map(|form| form.name()).collect();
                Problem::bad_request(format!("there is no format {name:?}: {}", names.join(", ")))
            });
        }
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let ranges = accept
            .unwrap_or_default()
            .split(',')
            .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let first = offered.first().copied().unwrap_or(Self::Json);
        let known = ranges.filter_map(|range| match range.as_str() {
            "text/csv" => Some(Self::Csv),
            "application/json" => Some(Self::Json),
            "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Some(Self::JsonLines)
            }
            "*/*" => Some(first),
            _ => None,
        });
        Ok(known.into_iter().find(|form| offered.contains(form)).unwrap_or(first))
    }
}

/// Says of an answer that it is a file.
pub(super) fn attach(response: &mut Response, form: Form, name: &str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    // A table's name holds nothing but letters, digits and _.
    let attached = format!("attachment; filename=\"{name}.{}\"", form.name());
    if let Ok(attached) = HeaderValue::from_str(&attached) {
        headers.insert(header::CONTENT_DISPOSITION, attached);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
}

/// What a page says of itself: that it is a file, where it is one, and where the next page is.
pub(super) fn page_of(
    response: &mut Response,
    form: Form,
    name: &str,
    (uri, next): (&Uri, Option<&str>),
) {
    if form == Form::Csv {
        attach(response, form, name);
    }
    let Some(next) = next else { return };
    let query = super::super::list::next_page(uri.query(), next);
    if let Ok(link) = HeaderValue::from_str(&format!("<{}?{query}>; rel=\"next\"", uri.path())) {
        response.headers_mut().insert(header::LINK, link);
    }
}

/// Rows as CSV, a header first.
pub(super) fn csv<'a, R>(columns: &[&str], rows: impl Iterator<Item = R>) -> Response
where
    R: Iterator<Item = &'a Json>,
{
    let mut text = Vec::new();
    let mut plain = vec![true; columns.len()];
    header(columns.iter().copied(), &mut text);
    for row in rows {
        for (i, value) in row.enumerate() {
            if i > 0 {
                text.push(b',');
            }
            match value {
                Json::Null => {}
                Json::String(value) => {
                    plain.get_mut(i).into_iter().for_each(|plain| *plain = false);
                    write_text(value.as_bytes(), &mut text);
                }
                other => write_text(other.to_string().as_bytes(), &mut text),
            }
        }
        text.push(b'\n');
    }
    let mut response = text.into_response();
    response.extensions_mut().insert(Plain(plain));
    response
}

/// The header of a CSV.
pub(super) fn header<'a>(columns: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    for (i, name) in columns.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(name.as_bytes(), out);
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_named_or_accepted() {
        let all = [Form::Csv, Form::Json, Form::JsonLines];
        let wanted = |query: Option<&str>, accept: &'static str, offered: &[Form]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            Form::wanted(query, &headers, offered).ok()
        };
        assert_eq!(wanted(Some("format=jsonl"), "text/csv", &all), Some(Form::JsonLines));
        assert_eq!(wanted(Some("format=xlsx"), "text/csv", &all), None);
        assert_eq!(wanted(Some("format=jsonl"), "", &[Form::Json, Form::Csv]), None);
        assert_eq!(wanted(None, "", &all), Some(Form::Csv));
        assert_eq!(wanted(None, "*/*", &[Form::Json, Form::Csv]), Some(Form::Json));
        assert_eq!(wanted(None, "application/json", &all), Some(Form::Json));
        assert_eq!(
            wanted(None, "text/html, text/csv;q=0.5", &[Form::Json, Form::Csv]),
            Some(Form::Csv)
        );
        assert_eq!(wanted(None, "text/html,*/*;q=0.8", &all), Some(Form::Csv));
        assert_eq!(wanted(None, "image/png", &all), Some(Form::Csv));
    }
}
