//! Whole tables, streamed as they were at one moment.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;

use tally_common::table::{Row, Table, Value};
use tally_common::value::{format_date, write_integer, write_text};

use super::super::formulas::Plain;
use super::super::openapi::{FormulaSafe, OfTable, TablePath};
use super::super::problem::Problem;
use super::super::{Answer, App};
use super::Name;
use super::parameters::pairs;
use super::text::{Form, attach, header};
use crate::edge::{self, Outgoing};
use crate::jobs::Jobs;

/// Bytes that are sent at once, and may be exceeded by a row.
const PIECE_BYTES: usize = 64 << 10;

/// The table of `/data` where none is named.
const KEPT_TABLE: &str = "products";

/// `GET /api/v1/tables/{table}/data`
#[utoipa::path(
    operation_id = "get_data",
    get, path = "/api/v1/tables/{table}/data", tag = "tables",
    params(
        TablePath,
        ("format" = Option<String>, Query, description = "csv, json or jsonl; else as Accept says"),
        FormulaSafe,
    ),
    responses(
        (status = 200, description = "All rows in the order of their keys, of one moment", content(
            (String = "text/csv"),
            (Vec<Object> = "application/json"),
            (String = "application/x-ndjson"),
        )),
        OfTable,
    ),
)]
pub(super) async fn data(State(jobs): App, name: Name, request: Request) -> Answer {
    let Path(name) = name?;
    let form = form(&request, &["format"])?;
    // A request that is held while it is answered would keep its body.
    drop(request);
    send(&jobs, &name, form).await
}

/// `GET /data`: the table `products`, or the one that is named.
#[utoipa::path(
    operation_id = "get_data_kept",
    get, path = "/data", tag = "kept",
    params(
        ("table" = Option<String>, Query, description = "The table; products where it is not given"),
        ("format" = Option<String>, Query, description = "csv, json or jsonl; else as Accept says"),
        FormulaSafe,
    ),
    responses(
        (status = 200, description = "All rows in the order of their keys, of one moment", content(
            (String = "text/csv"),
            (Vec<Object> = "application/json"),
            (String = "application/x-ndjson"),
        )),
        OfTable,
    ),
)]
pub(super) async fn kept(State(jobs): App, request: Request) -> Answer {
    let name = pairs(request.uri().query()).find(|(key, _)| key == "table");
    let name = name.map_or_else(|| KEPT_TABLE.to_owned(), |(_, name)| name.into_owned());
    let form = form(&request, &["table", "format"])?;
    // A request that is held while it is answered would keep its body.
    drop(request);
    send(&jobs, &name, form).await
}

/// The form that is wanted, of a request with no other parameters than these.
fn form(request: &Request, known: &[&str]) -> Result<Form, Problem> {
    if let Some((key, _)) = pairs(request.uri().query()).find(|(key, _)| !known.contains(&&**key)) {
        let detail = format!("there is no parameter {key:?}: {}", known.join(", "));
        return Err(Problem::bad_request(detail));
    }
    let forms = [Form::Csv, Form::Json, Form::JsonLines];
    Form::wanted(request.uri().query(), request.headers(), &forms)
}

async fn send(jobs: &Jobs, name: &str, form: Form) -> Result<Response, Problem> {
    let table = jobs.tables().table(name)?;
    let plain = Plain::of_table(&table);
    let Some(pieces) = edge::send(jobs.tables(), name, Written::new(table, form)).await? else {
        return Err(Problem::busy("as many tables are being read as may be at a time"));
    };
    let body = unfold(pieces, async |mut pieces| {
        // An error breaks the body off, so that nobody takes a part for the whole.
        let piece = pieces.next().await?;
        Some((piece, pieces))
    });
    let mut response = Body::from_stream(body).into_response();
    response.extensions_mut().insert(plain);
    attach(&mut response, form, name);
    Ok(response)
}

/// Rows as they are written.
struct Written {
    table: Arc<Table>,
    form: Form,
    /// What stands before each value of an object: its name as JSON, and what parts it from the one before.
    names: Vec<Vec<u8>>,
    out: Vec<u8>,
    any: bool,
}

impl Written {
    fn new(table: Arc<Table>, form: Form) -> Self {
        let mut out = Vec::with_capacity(PIECE_BYTES);
        match form {
            Form::Csv => {
                header(table.columns().iter().map(|column| column.name.as_str()), &mut out)
            }
            Form::Json => out.push(b'['),
            Form::JsonLines => {}
        }
        let names = table.columns().iter().enumerate().map(|(i, column)| {
            let mut name = if i > 0 { b",".to_vec() } else { b"{".to_vec() };
            write_json(&column.name, &mut name);
            name.push(b':');
            name
        });
        let names = names.collect();
        Self { table, form, names, out, any: false }
    }

    fn csv(&mut self, row: &[Value]) {
        for (i, value) in row.iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            match value {
                Value::Null => {}
                Value::Integer(integer) => write_integer(*integer, &mut self.out),
                Value::Date(day) => self.out.extend_from_slice(&format_date(*day)),
                Value::Text(text) => write_text(text.as_bytes(), &mut self.out),
            }
        }
        self.out.push(b'\n');
    }

    fn object(&mut self, row: &[Value]) {
        for (name, value) in self.names.iter().zip(row) {
            self.out.extend_from_slice(name);
            match value {
                Value::Null => self.out.extend_from_slice(b"null"),
                Value::Integer(integer) => write_integer(*integer, &mut self.out),
                Value::Date(day) => {
                    self.out.push(b'"');
                    self.out.extend_from_slice(&format_date(*day));
                    self.out.push(b'"');
                }
                Value::Text(text) => write_json(text, &mut self.out),
            }
        }
        self.out.push(b'}');
    }
}

impl Outgoing for Written {
    type Piece = Bytes;

    fn row(&mut self, _: u64, row: Row) -> Option<Bytes> {
        debug_assert_eq!(row.len(), self.table.columns().len());
        match self.form {
            Form::Csv => self.csv(&row),
            Form::Json => {
                if self.any {
                    self.out.push(b',');
                }
                self.object(&row);
            }
            Form::JsonLines => {
                self.object(&row);
                self.out.push(b'\n');
            }
        }
        self.any = true;
        (self.out.len() >= PIECE_BYTES)
            .then(|| std::mem::replace(&mut self.out, Vec::with_capacity(PIECE_BYTES)).into())
    }

    fn end(mut self) -> Option<Bytes> {
        if self.form == Form::Json {
            self.out.push(b']');
        }
        (!self.out.is_empty()).then(|| self.out.into())
    }
}

fn write_json(text: &str, out: &mut Vec<u8>) {
    // A text can always be written, and so can a vector.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use tally_common::spec::KeyKind;
    use tally_common::table::{TableColumn, TableDraft};

    use super::*;

    fn written(form: Form, rows: &[[&str; 2]]) -> String {
        let mut draft = TableDraft::products();
        draft.columns = vec![
            TableColumn { nullable: true, ..TableColumn::new("n, \"m\"", KeyKind::Integer) },
            TableColumn::new("sku", KeyKind::Text),
        ];
        draft.aggregates.clear();
        let mut written = Written::new(Arc::new(draft.try_into().unwrap()), form);
        let mut all = Vec::new();
        for [n, sku] in rows {
            let n = n.parse().map_or(Value::Null, Value::Integer);
            all.extend(written.row(1, [n, Value::Text((*sku).into())].into()));
        }
        all.extend(written.end());
        String::from_utf8(all.concat()).unwrap()
    }

    #[test]
    fn rows_are_written_in_three_forms() {
        let rows = [["7", "a,\"b\""], ["", "x\ny"]];
        let csv = "\"n, \"\"m\"\"\",sku\n7,\"a,\"\"b\"\"\"\n,\"x\ny\"\n";
        assert_eq!(written(Form::Csv, &rows), csv);
        let json = r#"[{"n, \"m\"":7,"sku":"a,\"b\""},{"n, \"m\"":null,"sku":"x\ny"}]"#;
        assert_eq!(written(Form::Json, &rows), json);
        let lines: Vec<serde_json::Value> = written(Form::JsonLines, &rows)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            serde_json::Value::from(lines),
            serde_json::from_str::<serde_json::Value>(json).unwrap()
        );
        assert_eq!(written(Form::Csv, &[]), "\"n, \"\"m\"\"\",sku\n");
        assert_eq!(written(Form::Json, &[]), "[]");
        assert_eq!(written(Form::JsonLines, &[]), "");
    }

    #[test]
    fn a_large_table_goes_out_in_pieces() {
        let text = "x".repeat(PIECE_BYTES / 3);
        let rows = [["1", text.as_str()]; 10];
        assert_eq!(written(Form::JsonLines, &rows).lines().count(), 10);
    }
}
