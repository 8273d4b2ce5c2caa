//! Large buffers on huge pages: what the kernel looks up at random is spread over tens of megabytes,
//! and with pages of 4 KiB the processor would spend its time on finding them. The only module with
//! unsafe code in the crate.
#![allow(unsafe_code)]

/// From this size on it is worth asking.
const LARGE: usize = 4 << 20;

/// Lets a vector have room for at least `capacity` elements in all, on huge pages if that is much and
/// the system has them.
pub(super) fn reserve<T: Copy>(vec: &mut Vec<T>, capacity: usize) {
    if capacity <= vec.capacity() {
        return;
    }
    if capacity * size_of::<T>() < LARGE {
        vec.reserve_exact(capacity - vec.len());
        return;
    }
    // Not grown in place: the pages that it has would stay as small as they are. By powers of two, so
    // that one that grows little by little is not moved each time.
    let mut larger = Vec::with_capacity(capacity.next_power_of_two());
    advise(&mut larger);
    larger.extend_from_slice(vec);
    *vec = larger;
}

/// Asks for huge pages for what a vector has room for. It is advice: whatever comes of it, the vector
/// is the same.
fn advise<T>(vec: &mut Vec<T>) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let room = vec.spare_capacity_mut();
        let (start, end) = (room.as_ptr() as usize, room.as_ptr() as usize + size_of_val(room));
        let from = start.next_multiple_of(PAGE);
        let len = end.saturating_sub(from) / PAGE * PAGE;
        if len > 0 {
            // SAFETY: the range lies within the vector's own allocation, and this advice changes
            // nothing of what the memory holds.
            unsafe { libc::madvise(from as *mut libc::c_void, len, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = vec;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_stays() {
        let mut numbers: Vec<u64> = (0..1000).collect();
        for capacity in [10, 2000, 1 << 20, 1 << 21] {
            reserve(&mut numbers, capacity);
            assert!(numbers.capacity() >= capacity.max(1000));
            assert!(numbers.iter().copied().eq(0..1000));
        }
    }
}
