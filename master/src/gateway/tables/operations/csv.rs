//! Operations as CSV, with a header `op,message_id[,expected_version]` and columns of the table.

use csv::{ByteRecord, ReaderBuilder};

use tally_common::table::{OperationHeader, Table};

use super::super::super::problem::Problem;
use super::check_count;
use crate::edge::Batch;

/// What Excel puts before a CSV.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a body. A record that is no operation is answered as such, with the line on which it begins.
pub(super) fn read(table: &Table, body: &[u8]) -> Result<Batch, Problem> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(body);
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord| {
        let read = reader.read_byte_record(record);
        read.map_err(|error| Problem::bad_request(format!("the operations are no CSV: {error}")))
    };
    if !next(&mut record)? {
        return Err(Problem::bad_request("a CSV of operations begins with a header"));
    }
    let names: Result<Vec<_>, _> = record.iter().map(std::str::from_utf8).collect();
    let names = names.map_err(|_| Problem::bad_request("the header is not UTF-8"))?;
    let header = OperationHeader::parse(table, names.into_iter())
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    let mut batch = Batch::default();
    while next(&mut record)? {
        check_count(batch.len() + 1)?;
        let fields: Vec<_> = record.iter().collect();
        match header.draft(fields.into_iter()) {
            Ok(draft) => batch.push(draft),
            Err((message_id, error)) => {
                let line = record.position().map_or(0, |at| line_of(body, at));
                batch.refuse(&message_id, format!("line {line}: {error}"));
            }
        }
    }
    Ok(batch)
}

/// The line on which a record begins. Where lines end in CR LF, the reader takes a record to begin with the
/// LF that still belongs to the line before.
fn line_of(body: &[u8], at: &csv::Position) -> u64 {
    let at_feed = usize::try_from(at.byte()).ok().and_then(|at| body.get(at)) == Some(&b'\n');
    at.line() + u64::from(at_feed)
}

#[cfg(test)]
mod tests {
    use tally_common::table::TableDraft;

    use super::*;
    use crate::tables::MAX_OPERATIONS;

    fn products(body: &str) -> Result<Batch, Problem> {
        read(&TableDraft::products().try_into().unwrap(), body.as_bytes())
    }

    #[test]
    fn records_are_operations() {
        let body = "\u{feff}op,message_id,sku,name,description\r\n\
            add,a,s1,\"x\ny\",d\r\n\
            update,b,s1\r\n\
            drop,c,s1,,\r\n\
            delete,d,s1,,\r\n";
        let batch = products(body).ok().unwrap();
        assert_eq!(batch.len(), 4);
        let said = format!("{batch:?}");
        for part in ["line 4: 3 fields, where the header has 5", "line 5: op is", "\"x\\ny\""] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn what_is_no_csv_of_operations_is_refused() {
        let long = |count| format!("op,message_id,sku\n{}", "delete,a,s\n".repeat(count));
        assert_eq!(products(&long(MAX_OPERATIONS)).ok().unwrap().len(), MAX_OPERATIONS);
        assert_eq!(products("op,message_id,sku\n").ok().unwrap().len(), 0);
        for bad in ["", "\n\n", "op,sku\n", "op,message_id,colour\n", &long(MAX_OPERATIONS + 1)] {
            assert!(products(bad).is_err(), "{bad:.60}");
        }
    }
}
