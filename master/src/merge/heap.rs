//! A binary heap of indexes, ordered by what somebody else knows of them.

/// Indexes, the smallest on top.
#[derive(Debug, Default)]
pub(super) struct IndexHeap(Vec<usize>);

impl IndexHeap {
    /// The smallest.
    #[inline]
    pub(super) fn peek(&self) -> Option<usize> {
        self.0.first().copied()
    }

    pub(super) fn push(&mut self, index: usize, less: impl Fn(usize, usize) -> bool) {
        self.0.push(index);
        let mut at = self.0.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !less(self.0[at], self.0[parent]) {
                break;
            }
            self.0.swap(at, parent);
            at = parent;
        }
    }

    pub(super) fn pop(&mut self, less: impl Fn(usize, usize) -> bool) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        let top = self.0.swap_remove(0);
        self.sink(less);
        Some(top)
    }

    /// What is known of the smallest has changed: it may have become larger.
    #[inline]
    pub(super) fn sink(&mut self, less: impl Fn(usize, usize) -> bool) {
        let heap = &mut self.0;
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= heap.len() {
                return;
            }
            let right = left + 1;
            let child =
                if right < heap.len() && less(heap[right], heap[left]) { right } else { left };
            if !less(heap[child], heap[at]) {
                return;
            }
            heap.swap(at, child);
            at = child;
        }
    }
}
