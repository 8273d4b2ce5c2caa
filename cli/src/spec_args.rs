//! What to compute, as flags.

use tally_common::dialect::Delimiter;
use tally_common::spec::{AggregateOp, MaxRejects, Order, Spec, SpecDraft};

use crate::exit::Kind;

/// What to compute.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "What to compute")]
pub(crate) struct SpecArgs {
    /// plays (Song, Date; sum of Number of Plays) or products (name; count) [default: plays]
    #[arg(long, conflicts_with_all = ["group_by", "sum", "min", "max", "count"],
        env = "TALLY_PRESET")]
    preset: Option<String>,
    /// Columns to group by: NAME[:text|integer|date], separated by commas; a column named Date is a
    /// date unless it says otherwise
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    group_by: Vec<String>,
    /// An integer column to sum, and perhaps how to name the sum; may be repeated
    #[arg(long, value_name = "COLUMN[=NAME]", requires = "group_by")]
    sum: Vec<String>,
    /// An integer column whose smallest value is wanted
    #[arg(long, value_name = "COLUMN[=NAME]", requires = "group_by")]
    min: Vec<String>,
    /// An integer column whose largest value is wanted
    #[arg(long, value_name = "COLUMN[=NAME]", requires = "group_by")]
    max: Vec<String>,
    /// Count the records of each group
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "Count",
        requires = "group_by")]
    count: Option<String>,
    /// sorted by the group-by columns, or first-seen: the first column's values in order of their
    /// first appearance, the others ascending
    #[arg(long, default_value = "sorted", value_parser = order, env = "TALLY_ORDER")]
    order: Order,
    /// comma, semicolon, tab or pipe [default: found out from the header]
    #[arg(long, env = "TALLY_DELIMITER")]
    delimiter: Option<Delimiter>,
    /// Records that may be rejected before the job fails: a number, or a percentage such as 0.5%
    #[arg(long, value_name = "N|P%", default_value = "0", env = "TALLY_MAX_REJECTS")]
    max_rejects: MaxRejects,
}

fn order(text: &str) -> Result<Order, String> {
    match text {
        "sorted" => Ok(Order::Sorted),
        "first-seen" => Ok(Order::FirstSeen),
        _ => Err("sorted and first-seen are".to_owned()),
    }
}

impl SpecArgs {
    /// The spec that the flags describe.
    pub(crate) fn spec(&self) -> anyhow::Result<Spec> {
        let mut draft = match (&self.preset, self.group_by.is_empty()) {
            (Some(preset), _) => SpecDraft::preset(preset),
            (None, true) => Ok(SpecDraft::plays()),
            (None, false) => {
                let ops = [
                    (AggregateOp::Sum, &self.sum),
                    (AggregateOp::Min, &self.min),
                    (AggregateOp::Max, &self.max),
                ];
                let columns = ops.into_iter().flat_map(|(op, columns)| {
                    columns.iter().map(move |column| (op, column.clone()))
                });
                let columns: Vec<_> = columns.collect();
                SpecDraft::from_short_forms(&self.group_by, &columns, self.count.as_deref())
            }
        }
        .map_err(|error| Kind::Usage.error(error.to_string()))?;
        draft.order = self.order;
        draft.delimiter = self.delimiter;
        draft.max_rejects = self.max_rejects;
        Spec::try_from(draft).map_err(|error| Kind::Usage.error(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        spec: SpecArgs,
    }

    fn spec(flags: &[&str]) -> anyhow::Result<Spec> {
        let flags = std::iter::once(&"tally").chain(flags);
        Only::try_parse_from(flags)?.spec.spec()
    }

    #[test]
    fn flags_make_the_spec() {
        assert_eq!(spec(&[]).unwrap().draft(), &SpecDraft::plays());
        let long = spec(&["--group-by", "Song,Date", "--sum", "Number of Plays"]).unwrap();
        assert_eq!(long.draft(), &SpecDraft::plays());
        let wide = spec(&[
            "--group-by",
            "Artist,Song",
            "--sum",
            "Plays=Total",
            "--sum",
            "Likes",
            "--count",
            "--delimiter",
            "\\t",
            "--max-rejects",
            "1%",
            "--order",
            "first-seen",
        ])
        .unwrap();
        let names: Vec<_> = wide.output_names().collect();
        assert_eq!(names, ["Artist", "Song", "Total", "Total Likes for Song", "Count"]);
        assert_eq!(wide.delimiter(), Some(Delimiter::Tab));
    }

    #[test]
    fn flags_that_make_no_sense_are_refused() {
        for flags in [
            &["--sum", "Plays"][..],
            &["--preset", "songs"],
            &["--preset", "plays", "--group-by", "x"],
            &["--group-by", "x:float"],
            &["--group-by", "x,x"],
            &["--order", "random"],
        ] {
            assert!(spec(flags).is_err(), "{flags:?}");
        }
    }
}
