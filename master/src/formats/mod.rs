//! A result in other forms than the CSV that it is kept as: made from that while they are sent, and
//! never kept. Memory is bounded whatever the result's size; all of it is sync, and runs on a thread of
//! its own.

#[cfg(feature = "columnar")]
mod columnar;
mod json;
pub(crate) mod negotiate;
mod rows;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use tally_common::spec::SpecDraft;

/// A form that a result can be sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    CsvGz,
    JsonLines,
    Arrow,
    Parquet,
}

/// How what is sent is compressed on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// Level of zstd: results are sent faster with it than without over any link below some 3 Gbit/s.
const ZSTD_LEVEL: i32 = 1;

/// Bytes of CSV that are copied at once.
const COPY_BYTES: usize = 256 << 10;

impl Format {
    /// All of them; of those that a client likes as well, the first is sent.
    pub(crate) const ALL: [Self; 5] =
        [Self::Csv, Self::JsonLines, Self::Parquet, Self::Arrow, Self::CsvGz];

    /// Its name as the parameter `format` has it: also the ending of a file's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::CsvGz => "csv.gz",
            Self::JsonLines => "jsonl",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }

    /// Its media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::CsvGz => "application/gzip",
            Self::JsonLines => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// Whether it is compressed on its way where a client asks for that: the others are already.
    pub(crate) const fn may_be_coded(self) -> bool {
        matches!(self, Self::Csv | Self::JsonLines)
    }

    /// Whether this build can make it.
    pub(crate) const fn is_built(self) -> bool {
        cfg!(feature = "columnar") || !matches!(self, Self::Arrow | Self::Parquet)
    }
}

impl Coding {
    /// Its name as headers have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Writes a result, `csv`, of the job `spec` to `out` in another form.
///
/// # Errors
/// What reading and writing give.
pub(crate) fn convert(
    csv: impl Read,
    spec: &SpecDraft,
    format: Format,
    coding: Coding,
    out: impl Write + Send,
) -> io::Result<()> {
    match coding {
        Coding::Identity => convert_plain(csv, spec, format, out).map(drop),
        Coding::Gzip => {
            let out = GzEncoder::new(out, Compression::fast());
            convert_plain(csv, spec, format, out)?.finish()?.flush()
        }
        Coding::Zstd => {
            let out = zstd::Encoder::new(out, ZSTD_LEVEL)?;
            convert_plain(csv, spec, format, out)?.finish()?.flush()
        }
    }
}

fn convert_plain<W: Write + Send>(
    mut csv: impl Read,
    spec: &SpecDraft,
    format: Format,
    mut out: W,
) -> io::Result<W> {
    match format {
        Format::Csv => copy(&mut csv, &mut out)?,
        Format::CsvGz => {
            let mut gzip = GzEncoder::new(&mut out, Compression::fast());
            copy(&mut csv, &mut gzip)?;
            gzip.finish()?;
        }
        Format::JsonLines => json::write(csv, spec, &mut out)?,
        #[cfg(feature = "columnar")]
        Format::Arrow => columnar::write_arrow(csv, spec, &mut out)?,
        #[cfg(feature = "columnar")]
        Format::Parquet => columnar::write_parquet(csv, spec, &mut out)?,
        #[cfg(not(feature = "columnar"))]
        Format::Arrow | Format::Parquet => return Err(io::ErrorKind::Unsupported.into()),
    }
    out.flush()?;
    Ok(out)
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match crate::spool::read_up_to(from, &mut buffer)? {
            0 => return Ok(()),
            n => to.write_all(&buffer[..n])?,
        }
    }
}
