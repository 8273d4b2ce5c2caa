//! What a master is given to hand out.

use std::str::FromStr;

/// Jobs of one input each, cut into tasks of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Bytes that a task should have.
    pub task: u64,
    /// Bytes of an input.
    pub input: u64,
    /// How often the input is submitted.
    pub jobs: u32,
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').collect();
        let [task, input, jobs] = parts[..] else {
            return Err("a load is TASK,INPUT,JOBS, such as 16MiB,1GB,4".to_owned());
        };
        let jobs = jobs.parse().ok().filter(|jobs| *jobs > 0);
        let jobs = jobs.ok_or("a load has one job at least")?;
        Ok(Self { task: parse_bytes(task)?, input: parse_bytes(input)?, jobs })
    }
}

/// Bytes, as a number with or without kB, MB, GB, KiB, MiB, GiB.
///
/// # Errors
/// Where it is something else, for people.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let units: [(&str, u64); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("", 1),
    ];
    let found = units.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, unit) = found.ok_or("a size is wanted")?;
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no size"))?;
    number.checked_mul(*unit).filter(|bytes| *bytes > 0).ok_or(format!("{text:?} is no size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_read() {
        let load = Load { task: 16 << 10, input: 160_000_000, jobs: 1 };
        assert_eq!("16KiB,160MB,1".parse(), Ok(load));
        for wrong in ["", "16KiB", "16KiB,1GB,0", "x,1GB,1", "0,1GB,1", "99999999999GB,1,1"] {
            assert!(wrong.parse::<Load>().is_err(), "{wrong}");
        }
    }
}
