//! Headers, however they come in.

use tally_common::dialect::read_header;
use tally_common::spec::{Spec, SpecDraft};

use crate::{choose, pieces};

/// What is read does not depend on how many bytes are there at a time, and says what is true.
pub fn header(mut data: &[u8]) {
    let draft = match choose(&mut data) % 2 {
        0 => SpecDraft::plays(),
        _ => SpecDraft::products(),
    };
    let spec = Spec::try_from(draft).expect("a preset is valid");
    let sizes = [choose(&mut data), choose(&mut data)];
    let whole = read_header(data, true, &spec).map(|header| header.expect("all is there"));
    if let Ok(header) = &whole {
        assert!(header.body <= data.len() as u64);
        assert_eq!(header.layout.fields as usize, header.names.len());
        let columns = header.layout.keys.iter().chain(header.layout.values.iter().flatten());
        assert!(columns.into_iter().all(|column| *column < header.layout.fields));
    }
    let mut come = 0;
    for piece in pieces(data, sizes) {
        come += piece.len();
        if let Some(early) = read_header(&data[..come], false, &spec).transpose() {
            return assert_eq!(early, whole, "after {come} bytes");
        }
    }
}
