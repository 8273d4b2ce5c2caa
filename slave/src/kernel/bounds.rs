//! How much memory one kernel may hold, and how large its steps are.

/// The bounds of a kernel. The defaults keep it within about 300 MiB whatever the input holds;
/// tests set tiny ones, so that every flush and spill runs. Results do not depend on them, only
/// how many sorted segments the groups come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes that are indexed at once. What the index holds of them should stay in the L2 cache.
    pub window_bytes: usize,
    /// Records that pass together through each step of the kernel.
    pub batch_rows: usize,
    /// Bytes of the dense sums.
    pub dense_bytes: usize,
    /// Heads that the dense sums begin with.
    pub dense_heads: usize,
    /// Bytes of the log; sorting it takes as many again.
    pub log_bytes: usize,
    /// Bytes of both dictionaries together.
    pub dictionary_bytes: usize,
    /// Keys in each dictionary.
    pub dictionary_keys: usize,
    /// Bytes of rows that are kept whole, and of what it takes to sort them.
    pub row_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            window_bytes: 128 << 10,
            batch_rows: 256,
            dense_bytes: 64 << 20,
            dense_heads: 256,
            log_bytes: 64 << 20,
            dictionary_bytes: 96 << 20,
            dictionary_keys: 4 << 20,
            row_bytes: 192 << 20,
        }
    }
}
