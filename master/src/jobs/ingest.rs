//! Ingests: jobs whose records fill a table. The table is there, or is declared by a preset of its name, or
//! is made after the beginning of the file.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use tally_common::api::{IngestMode, JobView, Priority};
use tally_common::dialect::Delimiter;
use tally_common::id::JobId;
use tally_common::limits::FRAME_BYTES;
use tally_common::spec::{MaxRejects, Spec, SpecDraft};
use tally_common::table::{Table, TableDraft, TableError, infer_from};

use super::peek::Peek;
use super::{Jobs, JobsError, NewJob};
use crate::access::{Owner, Scope, Who};
use crate::coordinator::Stopped;
use crate::spool::{InputError, read_up_to};
use crate::tables::TablesError;

/// Pieces of a reader that may wait for the spool.
const PIECES_AHEAD: usize = 4;

/// An ingest as it is asked for.
#[derive(Clone, Debug)]
pub struct NewIngest {
    /// A name for people; never used as a path.
    pub name: String,
    /// The table that is filled.
    pub table: String,
    /// How rows are treated that are not in the file.
    pub mode: IngestMode,
    /// The preset that declares the table where there is none: the table's own name.
    pub preset: Option<String>,
    /// The key columns of a table that is made after the file where there is none.
    pub key: Vec<String>,
    /// The file's delimiter; found out where it is not given.
    pub delimiter: Option<Delimiter>,
    /// How many records may be rejected.
    pub max_rejects: MaxRejects,
    /// Which jobs go first.
    pub priority: Priority,
    /// Bytes of input that are expected, if known.
    pub expected: Option<u64>,
    /// Keep the input as long as the job.
    pub keep_input: bool,
    /// The URL that its input is fetched from.
    pub fetched_from: Option<String>,
    /// Whose it is, where it is anybody's in particular.
    pub owner: Option<Owner>,
}

impl NewIngest {
    /// One that merges a file into a table that there is, and takes no bad record.
    pub fn new(name: String, table: String) -> Self {
        Self {
            name,
            table,
            mode: IngestMode::Merge,
            preset: None,
            key: Vec::new(),
            delimiter: None,
            max_rejects: MaxRejects::default(),
            priority: Priority::Default,
            expected: None,
            keep_input: false,
            fetched_from: None,
            owner: None,
        }
    }
}

/// A job as it is asked for, before anything is known of its table.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// One that counts.
    Count(NewJob),
    /// One that fills a table.
    Ingest(NewIngest),
}

impl From<NewJob> for Wanted {
    fn from(new: NewJob) -> Self {
        Self::Count(new)
    }
}

impl Wanted {
    /// As somebody asks for it, whose it is then, and as he may ask for it: a table that is not there is declared for those only who may declare tables. For
    /// others it is not there.
    #[must_use]
    pub(crate) fn by(mut self, who: Option<&Who>) -> Self {
        let owner = who.and_then(Who::owner);
        match &mut self {
            Self::Count(new) => new.owner = owner,
            Self::Ingest(new) => new.owner = owner,
        }
        if let Self::Ingest(new) = &mut self
            && who.is_some_and(|who| !who.allows(Scope::Admin))
        {
            new.preset = None;
            new.key.clear();
        }
        self
    }
}

impl From<NewIngest> for Wanted {
    fn from(new: NewIngest) -> Self {
        Self::Ingest(new)
    }
}

/// Pieces of an input: asked for, or not yet.
enum Pieces<F> {
    Not(F),
    Begun(mpsc::Receiver<Result<Bytes, InputError>>),
}

impl<F: FnOnce() -> mpsc::Receiver<Result<Bytes, InputError>>> Pieces<F> {
    fn begun(self) -> mpsc::Receiver<Result<Bytes, InputError>> {
        match self {
            Self::Not(begin) => begin(),
            Self::Begun(pieces) => pieces,
        }
    }
}

impl Jobs {
    /// What the beginning of the input is to be put into before its job can be opened: it wants nothing
    /// where the table is there, or is not made after the file.
    pub fn peek(&self, wanted: &Wanted) -> Peek {
        let Wanted::Ingest(new) = wanted else { return Peek::needless() };
        let unknown = matches!(self.tables.table(&new.table), Err(TablesError::NotFound(_)));
        let needed = unknown && new.preset.is_none() && !new.key.is_empty();
        if needed { Peek::default() } else { Peek::needless() }
    }

    /// The job that is wanted. Its table is there from then on.
    ///
    /// # Errors
    /// [`JobsError::Tables`] where there is no table and none can be made.
    pub async fn job_of(&self, wanted: Wanted, peek: &Peek) -> Result<NewJob, JobsError> {
        let new = match wanted {
            Wanted::Count(new) => return Ok(new),
            Wanted::Ingest(new) => new,
        };
        let table = self.table_of(&new, peek).await?;
        let (delimiter, max_rejects) = (new.delimiter, new.max_rejects);
        let draft = SpecDraft { delimiter, max_rejects, ..SpecDraft::of_table(&table) };
        let spec = Spec::try_from(draft).map_err(|error| {
            JobsError::Tables(TablesError::Definition(TableError::Header(error.to_string())))
        })?;
        Ok(NewJob {
            priority: new.priority,
            expected: new.expected,
            keep_input: new.keep_input,
            fetched_from: new.fetched_from,
            owner: new.owner,
            ingest: Some((new.table, new.mode)),
            ..NewJob::new(new.name, spec)
        })
    }

    async fn table_of(&self, new: &NewIngest, peek: &Peek) -> Result<Arc<Table>, TablesError> {
        let missing = match self.tables.table(&new.table) {
            Err(error @ TablesError::NotFound(_)) => error,
            found => return found,
        };
        let draft = match &new.preset {
            Some(preset) if *preset != new.table => {
                let why = format!(
                    "the preset {preset:?} declares a table of that name, and not {:?}",
                    new.table
                );
                return Err(TableError::Header(why).into());
            }
            Some(preset) => TableDraft::preset(preset)?,
            None if new.key.is_empty() => return Err(missing),
            None => infer_from(&new.table, &new.key, new.delimiter, peek.sample())?,
        };
        match self.tables.create(draft).await {
            // Somebody else was faster: the file has to fit what there is.
            Ok(_) | Err(TablesError::Exists(_)) => self.tables.table(&new.table),
            Err(error) => Err(error),
        }
    }

    /// Opens a job on a file of this machine, as [`Self::in_place`] does.
    ///
    /// # Errors
    /// As there, and as [`Self::job_of`].
    pub(crate) async fn job_of_file(
        &self,
        wanted: Wanted,
        path: PathBuf,
    ) -> Result<NewJob, JobsError> {
        let mut peek = self.peek(&wanted);
        if peek.wants_more() {
            peek = self.peek_in_place(path).await?;
        }
        self.job_of(wanted, &peek).await
    }

    /// Opens an ingest of what a reader gives, plain or compressed, and takes it in, on a thread of its
    /// own. Returns when all has been taken in, while it is being counted and applied. `key`, if there is
    /// one, names the request: a repeat of it gets the same job.
    ///
    /// # Errors
    /// As [`Self::upload`] and [`Self::job_of`].
    pub async fn submit_ingest(
        &self,
        new: NewIngest,
        key: Option<String>,
        from: Box<dyn Read + Send>,
    ) -> Result<JobId, JobsError> {
        self.submit_pieces(new.into(), key, || pieces_of(from)).await
    }

    /// Opens a job that counts what a reader gives, in the same way.
    ///
    /// # Errors
    /// As [`Self::upload`].
    pub async fn submit_reader(
        &self,
        new: NewJob,
        key: Option<String>,
        from: Box<dyn Read + Send>,
    ) -> Result<JobId, JobsError> {
        self.submit_pieces(new.into(), key, || pieces_of(from)).await
    }

    /// Opens a job, and takes the pieces of its input in, which are not asked for before they are needed: of
    /// a repeat under the same key none are.
    ///
    /// # Errors
    /// As [`Self::upload`] and [`Self::job_of`]; [`JobsError::Input`] with what a piece says in its stead.
    pub(crate) async fn submit_pieces(
        &self,
        wanted: Wanted,
        key: Option<String>,
        begin: impl FnOnce() -> mpsc::Receiver<Result<Bytes, InputError>>,
    ) -> Result<JobId, JobsError> {
        let mut peek = self.peek(&wanted);
        let mut source = Pieces::Not(begin);
        while peek.wants_more() {
            let mut pieces = source.begun();
            // There is no job yet that could say what is wrong.
            let broken = |error| {
                let why = format!("no table can be made of the input: {error}");
                TablesError::Definition(TableError::Header(why))
            };
            peek.take(pieces.recv().await.transpose().map_err(broken)?);
            source = Pieces::Begun(pieces);
        }
        let new = self.job_of(wanted, &peek).await?;
        let mut upload = self.upload(new, key).await?;
        if upload.came_whole() {
            // What the source has now is of no interest.
            return Ok(upload.job());
        }
        for held in peek.into_held() {
            upload.push(held).await;
        }
        let mut pieces = source.begun();
        while let Some(piece) = pieces.recv().await {
            match piece {
                Ok(data) => {
                    if !upload.push(data).await {
                        break;
                    }
                }
                Err(why) => return Err(upload.fail(why).await),
            }
        }
        upload.finish().await
    }

    /// Waits for the end of a job, and gives it as it is then.
    ///
    /// # Errors
    /// [`JobsError::NotFound`]; [`JobsError::Stopped`] where the master stops before.
    pub async fn wait_for_end(&self, job: JobId) -> Result<Arc<JobView>, JobsError> {
        let mut views = self.watch(job).await?;
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            if view.state.ended() {
                return Ok(view);
            }
            if views.changed().await.is_err() {
                let view = self.get(job).await?;
                return if view.state.ended() { Ok(view) } else { Err(Stopped.into()) };
            }
        }
    }
}

/// Reads on a thread of its own, which ends when what comes back is dropped.
fn pieces_of(mut from: Box<dyn Read + Send>) -> mpsc::Receiver<Result<Bytes, InputError>> {
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    spawn_blocking(move || {
        loop {
            let mut piece = vec![0; FRAME_BYTES];
            let read = match read_up_to(&mut from, &mut piece) {
                Ok(0) => return,
                Ok(n) => {
                    piece.truncate(n);
                    Ok(piece.into())
                }
                Err(error) => {
                    Err(InputError::Source(format!("the input can not be read: {error}")))
                }
            };
            let ended = read.is_err();
            if sender.blocking_send(read).is_err() || ended {
                return;
            }
        }
    });
    pieces
}
