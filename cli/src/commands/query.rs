//! `tally query`, `tally result --limit` and `tally rejects --limit`: some rows of a result or of rejects,
//! without all of it being downloaded; of a job that has not ended also what has been counted so far.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Table, presets};

use tally_common::api::{Coverage, Look, LookQuery};
use tally_common::id::JobId;
use tally_common::value::write_text;

use crate::args::{MasterAddress, OutputFormat};
use crate::client::Client;
use crate::output::{Target, bytes};

/// Rows that are asked for at once: the most that a master gives.
const PAGE: u32 = 10_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally query 0199… --song 'Blue Moon'
  tally query 0199… --prefix Blue --limit 20
  tally query 0199… --where Date=2026-11-21 --where Shop=Berlin
  tally query 0199… --partial --limit 5     (of what has been counted so far)

On a terminal rows are shown as a table, else as CSV; --output json has them as the HTTP reference
says. Of how much of the input partial rows are is said on stderr.")]
pub(crate) struct QueryArgs {
    /// The job
    pub(crate) job: JobId,
    #[command(flatten)]
    pub(crate) master: MasterAddress,
    /// The value that the column Song must have
    #[arg(long, value_name = "VALUE")]
    pub(crate) song: Option<String>,
    /// The value that the column Date must have
    #[arg(long, value_name = "VALUE")]
    pub(crate) date: Option<String>,
    /// What the first column must begin with
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// A value that a group-by column must have; may be repeated, and all of them must hold
    #[arg(long = "where", value_name = "COLUMN=VALUE", value_parser = equal)]
    pub(crate) equal: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) rows: Rows,
    /// Of what has been counted so far, where the job has not ended
    #[arg(long)]
    pub(crate) partial: bool,
}

/// Which of the rows.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Rows {
    /// Most rows that are shown [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Rows that are passed over
    #[arg(long, value_name = "N")]
    pub(crate) offset: Option<u64>,
}

impl Rows {
    /// Rows that are shown where the user does not say.
    const LIMIT: u32 = 100;

    /// Whether only some rows are wanted.
    pub(crate) const fn are_some(self) -> bool {
        self.limit.is_some() || self.offset.is_some()
    }
}

fn equal(text: &str) -> Result<(String, String), String> {
    let (column, value) = text.split_once('=').ok_or("a condition is COLUMN=VALUE")?;
    Ok((column.to_owned(), value.to_owned()))
}

pub(crate) async fn run(args: QueryArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut client = Client::connect(&args.master.dial()?).await?;
    let mut equal = args.equal;
    equal.extend(args.song.map(|song| ("Song".to_owned(), song)));
    equal.extend(args.date.map(|date| ("Date".to_owned(), date)));
    let query =
        LookQuery { equal, prefix: args.prefix, partial: args.partial, ..LookQuery::default() };
    let look = rows(&mut client, args.job, query, args.rows).await?;
    print(&look, format, Target::open("-".as_ref())?)
}

/// Some rows of a result, as many as are wanted, however many a master gives at once.
pub(super) async fn rows(
    client: &mut Client,
    job: JobId,
    query: LookQuery,
    rows: Rows,
) -> anyhow::Result<Look> {
    all(rows, async |limit, offset| {
        client.look(job, &LookQuery { limit, offset, ..query.clone() }).await
    })
    .await
}

/// Some rejects.
pub(super) async fn rejects(client: &mut Client, job: JobId, rows: Rows) -> anyhow::Result<Look> {
    all(rows, async |limit, offset| client.rejects_page(job, limit, offset).await).await
}

async fn all(
    rows: Rows,
    mut ask: impl AsyncFnMut(u32, u64) -> anyhow::Result<Look>,
) -> anyhow::Result<Look> {
    let wanted = rows.limit.unwrap_or(Rows::LIMIT) as usize;
    let mut look = ask(PAGE.min(wanted as u32), rows.offset.unwrap_or(0)).await?;
    // Two pages of what is still being counted would not belong together.
    while look.coverage.is_none() && look.rows.len() < wanted {
        let Some(offset) = look.next_offset else { break };
        let left = u32::try_from(wanted - look.rows.len()).unwrap_or(PAGE);
        let page = ask(PAGE.min(left), offset).await?;
        if page.rows.is_empty() {
            break;
        }
        look.rows.extend(page.rows);
        look.next_offset = page.next_offset;
    }
    Ok(look)
}

/// Shows rows as JSON, or as CSV, or to people as a table.
pub(super) fn print(look: &Look, format: OutputFormat, mut out: Target) -> anyhow::Result<()> {
    let people = matches!(out, Target::Stdout(_)) && io::stdout().is_terminal();
    if let Some(coverage) = &look.coverage {
        eprintln!("{}", label(coverage));
    }
    let text = match format {
        OutputFormat::Json => {
            let mut json = serde_json::to_vec_pretty(look)?;
            json.push(b'\n');
            json
        }
        OutputFormat::Table if people => table(look).into_bytes(),
        OutputFormat::Table => csv(look),
    };
    match out.write_all(&text) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        written => written?,
    }
    out.finish()?;
    if let (true, Some(offset)) = (people, look.next_offset) {
        eprintln!("there are more: --offset {offset}");
    }
    Ok(())
}

/// How much of the input partial rows are of.
fn label(coverage: &Coverage) -> String {
    let share = coverage.share * 100.0;
    let (counted, of) = (bytes(coverage.bytes), bytes(coverage.of_bytes));
    format!("partial: {share:.1}% of the input, {counted} of {of}, {} tasks", coverage.tasks)
}

fn csv(look: &Look) -> Vec<u8> {
    let mut csv = Vec::new();
    for row in std::iter::once(&look.columns).chain(&look.rows) {
        for (i, value) in row.iter().enumerate() {
            if i > 0 {
                csv.push(b',');
            }
            write_text(value.as_bytes(), &mut csv);
        }
        csv.push(b'\n');
    }
    csv
}

fn table(look: &Look) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(look.columns.clone());
    for row in &look.rows {
        // What a key holds is not to move the cursor.
        let shown = row.iter().map(|value| value.replace(|c: char| c.is_control(), "\u{fffd}"));
        table.add_row(shown);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(rows: &[[&str; 2]]) -> Look {
        let text = |row: &[&str; 2]| row.map(str::to_owned).to_vec();
        let columns = vec!["Song".to_owned(), "Plays".to_owned()];
        Look { columns, rows: rows.iter().map(text).collect(), ..Look::default() }
    }

    #[test]
    fn csv_is_as_results_have_it() {
        let csv = csv(&look(&[["a,\"b\"", "1"], ["", "2"]]));
        assert_eq!(String::from_utf8(csv).unwrap(), "Song,Plays\n\"a,\"\"b\"\"\",1\n,2\n");
    }

    #[test]
    fn tables_do_not_obey_what_they_show() {
        let table = table(&look(&[["\u{1b}[2J\nx", "1"]]));
        assert!(!table.contains('\u{1b}') && table.lines().count() == 2, "{table:?}");
    }

    #[test]
    fn labels_say_the_share() {
        let coverage = Coverage { bytes: 1_000, of_bytes: 4_000, share: 0.25, tasks: 3 };
        assert_eq!(label(&coverage), "partial: 25.0% of the input, 1.0 kB of 4.0 kB, 3 tasks");
    }

    #[tokio::test]
    async fn pages_are_put_together() {
        let ask = async |limit: u32, offset: u64| {
            let rows = (offset..25).take(limit.min(10) as usize);
            let rows: Vec<_> = rows.map(|row| vec![row.to_string(), String::new()]).collect();
            let next = offset + rows.len() as u64;
            Ok(Look { rows, next_offset: (next < 25).then_some(next), ..look(&[]) })
        };
        let some = |limit, offset| all(Rows { limit, offset }, ask);
        let first = |look: &Look| look.rows.first().map(|row| row[0].clone());
        let look = some(Some(12), None).await.unwrap();
        assert_eq!((look.rows.len(), look.next_offset), (12, Some(12)));
        let look = some(None, Some(3)).await.unwrap();
        assert_eq!(
            (look.rows.len(), look.next_offset, first(&look).unwrap()),
            (22, None, "3".into())
        );
    }
}
