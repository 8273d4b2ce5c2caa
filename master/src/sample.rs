//! The beginning of an input, decompressed: what a preflight looks at. Holds no more than
//! [`SAMPLE_BYTES`] of it.

use tally_common::api::Preflight;
use tally_common::preflight::{SAMPLE_BYTES, Sample, Surroundings, look};
use tally_common::spec::Spec;

use crate::decompress::{Decompress, Encoding};
use crate::spool::InputError;

/// Bytes that are decompressed at once: how much of the input a sample is of is known to within that.
const PIECE_BYTES: usize = 16 << 10;

/// Gathers a sample.
#[derive(Default)]
pub struct Sampler {
    decoder: Decompress,
    start: Vec<u8>,
    plain: Vec<u8>,
    taken: u64,
    full: bool,
    damage: Option<String>,
}

impl Sampler {
    /// Takes the next bytes of the input as it lies or is sent. `false` where no more are wanted.
    pub fn feed(&mut self, data: &[u8]) -> bool {
        for piece in data.chunks(PIECE_BYTES) {
            if self.full || self.damage.is_some() {
                return false;
            }
            self.take(piece);
        }
        !self.full && self.damage.is_none()
    }

    fn take(&mut self, piece: &[u8]) {
        let missing = 4usize.saturating_sub(self.start.len());
        self.start.extend_from_slice(&piece[..piece.len().min(missing)]);
        self.taken += piece.len() as u64;
        let (plain, full) = (&mut self.plain, &mut self.full);
        let fed = self.decoder.feed(piece, &mut |data| keep(data, plain, full));
        self.note(fed);
        // As much as that of what does not decompress to anything is enough as well.
        self.full |= self.taken >= SAMPLE_BYTES as u64;
    }

    fn note(&mut self, fed: Result<(), InputError>) {
        if let Err(error) = fed
            && !self.full
        {
            self.damage = Some(error.to_string());
        }
    }

    /// Looks at what there is. `size` is that of the whole input as it lies or is sent, where it is known;
    /// with `ended`, all of it has been fed.
    pub fn look(
        mut self,
        ended: bool,
        size: Option<u64>,
        spec: &Spec,
        around: &Surroundings,
    ) -> Preflight {
        let encoding = Encoding::sniff(&self.start);
        let whole = ended && !self.full && size.is_none_or(|size| size <= self.taken);
        if whole && self.damage.is_none() {
            let decoder = std::mem::take(&mut self.decoder);
            let (plain, full) = (&mut self.plain, &mut self.full);
            let finished = decoder.finish(&mut |data| keep(data, plain, full));
            self.note(finished);
        }
        // What it all comes to grows as it has so far.
        let ratio = self.plain.len() as f64 / self.taken.max(1) as f64;
        let size = match encoding {
            Encoding::Plain => size,
            _ => size.map(|size| (size as f64 * ratio) as u64),
        };
        let sample = Sample {
            bytes: &self.plain,
            whole: whole && !self.full,
            size,
            compression: match encoding {
                Encoding::Plain => "none",
                Encoding::Gzip => "gzip",
                Encoding::Zstd => "zstd",
            },
        };
        let mut report = look(&sample, spec, around);
        if let Some(damage) = self.damage {
            report.ok = false;
            report.prediction = None;
            report.problems.insert(0, damage);
        }
        report
    }
}

/// Keeps what there is room for; an error ends decompressing.
fn keep(data: &[u8], plain: &mut Vec<u8>, full: &mut bool) -> Result<(), InputError> {
    let room = SAMPLE_BYTES - plain.len();
    plain.extend_from_slice(&data[..data.len().min(room)]);
    if data.len() > room {
        *full = true;
        return Err(InputError::Stopped);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tally_common::spec::SpecDraft;

    use super::*;

    fn text(rows: usize) -> Vec<u8> {
        let mut text = b"Song,Date,Number of Plays\n".to_vec();
        for i in 0..rows {
            text.extend_from_slice(format!("song {},2020-01-01,{i}\n", i % 1000).as_bytes());
        }
        text
    }

    fn see(data: &[u8], size: Option<u64>) -> Preflight {
        let spec = Spec::try_from(SpecDraft::plays()).unwrap();
        let mut sampler = Sampler::default();
        let ended = data.chunks(100_000).all(|piece| sampler.feed(piece));
        sampler.look(ended, size, &spec, &Surroundings::default())
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_part_of_a_compressed_input_tells_of_all_of_it() {
        let text = text(200_000);
        for (data, name) in
            [(gzip(&text), "gzip"), (zstd::encode_all(&text[..], 1).unwrap(), "zstd")]
        {
            let whole = see(&data, None);
            assert!(whole.ok && whole.sample.whole, "{:?}", whole.problems);
            assert_eq!((&*whole.compression, whole.sample.records), (name, 200_000));
            let part = see(&data[..data.len() / 2], Some(data.len() as u64));
            assert!(part.ok && !part.sample.whole, "{:?}", part.problems);
            let records = part.prediction.unwrap().records;
            assert!((180_000..220_000).contains(&records), "{records}");
            // One that should be whole and is not is damaged.
            let cut = see(&data[..data.len() / 2], None);
            assert!(!cut.ok && cut.problems[0].contains("cut off"), "{:?}", cut.problems);
        }
    }

    #[test]
    fn no_more_is_kept_than_a_sample() {
        let text = text(1_000_000);
        for data in [text.clone(), gzip(&text)] {
            let report = see(&data, Some(data.len() as u64));
            assert!(report.ok && !report.sample.whole, "{:?}", report.problems);
            assert_eq!(report.sample.bytes, SAMPLE_BYTES as u64);
            let records = report.prediction.unwrap().records;
            assert!((900_000..1_100_000).contains(&records), "{records}");
        }
    }
}
