//! `formula_safe=true`: a CSV in which a spreadsheet finds no formulas. Only a copy for those who ask for it:
//! what is kept, and what is sent to all others, is as it came in.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use tally_common::formula::FormulaGuard;
use tally_common::spec::{KeyKind, SpecDraft};
use tally_common::table::Table;

use super::problem::Problem;

/// How the wish is named.
const NAME: &str = "formula_safe";

/// Of a request that wishes for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wished;

/// Which columns of a CSV hold nothing but numbers and dates; those that are not said are text. Whoever makes a
/// CSV puts it into its answer's extensions.
#[derive(Clone, Debug)]
pub(super) struct Plain(pub(super) Vec<bool>);

impl Plain {
    /// Of a result.
    pub(super) fn of_result(spec: &SpecDraft) -> Self {
        let keys = spec.group_by.iter().map(|key| key.kind != KeyKind::Text);
        Self(keys.chain(spec.aggregates.iter().map(|_| true)).collect())
    }

    /// Of the rows of a table.
    pub(super) fn of_table(table: &Table) -> Self {
        Self(table.columns().iter().map(|column| column.kind != KeyKind::Text).collect())
    }

    /// Of rejects: the line and the offset.
    pub(super) fn of_rejects() -> Self {
        Self(vec![true, true])
    }
}

/// Answers requests; those that wish for it get a CSV without formulas.
pub(super) async fn guard(mut request: Request, next: Next) -> Response {
    // Those who do not ask pay for nothing but this.
    if !request.uri().query().is_some_and(|query| query.contains(NAME)) {
        return next.run(request).await;
    }
    match take_wish(request.uri()) {
        Ok((false, uri)) => {
            *request.uri_mut() = uri;
            return next.run(request).await;
        }
        Ok((true, uri)) => *request.uri_mut() = uri,
        Err(problem) => return problem.into_response(),
    }
    // Of what is made on the way there are no ranges, and its tag would be that of the CSV as it lies.
    for name in [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::ACCEPT_ENCODING] {
        request.headers_mut().remove(name);
    }
    request.extensions_mut().insert(Wished);
    let mut response = next.run(request).await;
    if !response.status().is_success() {
        return response;
    }
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"text/csv")) {
        let (status, title) = (StatusCode::NOT_ACCEPTABLE, "There is no such form of it");
        let detail = "formula_safe is for CSV: ask for format=csv";
        return Problem::of(status, "not-acceptable", title, detail).into_response();
    }
    for name in [header::CONTENT_LENGTH, header::ETAG, header::ACCEPT_RANGES] {
        response.headers_mut().remove(name);
    }
    let link = response.headers().get(header::LINK).and_then(|link| link.to_str().ok());
    // The next page is wished for like this one.
    let next = link.map(|link| link.replacen('?', &format!("?{NAME}=true&"), 1));
    if let Some(Ok(next)) = next.map(|next| HeaderValue::from_str(&next)) {
        response.headers_mut().insert(header::LINK, next);
    }
    let Plain(plain) = response.extensions_mut().remove().unwrap_or(Plain(Vec::new()));
    let mut guard = FormulaGuard::new(plain);
    response.map(|body| {
        let pieces = body.into_data_stream().map_ok(move |piece| {
            let mut safe = Vec::new();
            guard.push(&piece, &mut safe);
            Bytes::from(safe)
        });
        Body::from_stream(pieces.boxed())
    })
}

/// Whether it is wished for, and the rest of what is asked for.
fn take_wish(uri: &Uri) -> Result<(bool, Uri), Problem> {
    let mut wished = false;
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if key == NAME {
            let problem = |_| Problem::bad_request("the parameter formula_safe: true or false");
            wished = value.parse().map_err(problem)?;
        } else {
            rest.append_pair(&key, &value);
        }
    }
    let rest = rest.finish();
    let path = uri.path();
    let target = if rest.is_empty() { path.to_owned() } else { format!("{path}?{rest}") };
    let uri = target.parse().map_err(|_| Problem::bad_request("the query makes no sense"))?;
    Ok((wished, uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_is_taken_from_the_query() {
        let take = |uri: &'static str| {
            take_wish(&Uri::from_static(uri)).map(|(wished, uri)| (wished, uri.to_string())).ok()
        };
        assert_eq!(take("/a?formula_safe=true"), Some((true, "/a".to_owned())));
        assert_eq!(take("/a?formula_safe=false"), Some((false, "/a".to_owned())));
        let (wished, rest) = take("/a?song=a%26b&formula_safe=true&limit=5").unwrap();
        assert!(wished);
        assert_eq!(rest, "/a?song=a%26b&limit=5");
        assert_eq!(take("/a?x=formula_safe"), Some((false, "/a?x=formula_safe".to_owned())));
        assert_eq!(take("/a?formula_safe=yes"), None);
    }
}
