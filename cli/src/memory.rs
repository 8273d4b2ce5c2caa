//! How the C library keeps memory.

/// Makes threads share arenas instead of each having its own. A master starts threads for every
/// upload and every merge; what they free stays with the arena that it came from, and with one for
/// each of them (glibc allows eight a core) the master would grow with the number of jobs that it has
/// seen. The large buffers are reused and not freed, so threads seldom wait for each other there.
pub(crate) fn share_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    set(libc::M_ARENA_MAX, 2);
}

/// Keeps the memory of frames. HTTP/2 receives each into a buffer of its own, of a mebibyte; by default
/// glibc would give it back to the system and take it anew, cleared, frame by frame.
pub(crate) fn keep_frames() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Free bytes at the end of an arena that are kept: the frames that one connection has under way.
        const KEPT: i32 = 8 << 20;
        set(libc::M_TRIM_THRESHOLD, KEPT);
        // What is larger is still given back at once.
        set(libc::M_MMAP_THRESHOLD, KEPT);
    }
}

/// Gives free memory back to the system every so often. Otherwise what lies between two pages of the store's cache
/// stays with the process, and it has for good what it needed in its busiest moment. Other C libraries give back what
/// is free by themselves.
///
/// # Errors
/// Where no thread can be started.
pub(crate) fn give_back() -> std::io::Result<()> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Seldom, as what is given back may be wanted again, and comes cleared.
        const PAUSE: std::time::Duration = std::time::Duration::from_secs(15);
        let work = || loop {
            std::thread::sleep(PAUSE);
            // SAFETY: malloc_trim may be called at any time, from any thread, and leaves alone what is in use.
            #[allow(unsafe_code, reason = "there is no safe way to call it")]
            let _ = unsafe { libc::malloc_trim(0) };
        };
        std::thread::Builder::new().name("memory".to_owned()).spawn(work)?;
    }
    Ok(())
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set(parameter: libc::c_int, value: libc::c_int) {
    // SAFETY: mallopt may be called at any time, and only changes how later allocations are made.
    #[allow(unsafe_code, reason = "there is no safe way to call it")]
    let set = unsafe { libc::mallopt(parameter, value) };
    debug_assert_eq!(set, 1, "glibc has known these parameters since 2.10");
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
#[allow(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use std::time::Duration;

    use super::give_back;

    fn own_memory() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    #[test]
    fn what_lies_free_between_what_is_in_use_goes_back() {
        const BLOCK: usize = 64 << 10;
        let mut blocks: Vec<Option<Vec<u8>>> = (0..4096).map(|_| Some(vec![1; BLOCK])).collect();
        // One in each 64 stays, so that no arena has its end free.
        for (i, block) in blocks.iter_mut().enumerate() {
            if i % 64 != 63 {
                *block = None;
            }
        }
        let before = own_memory();
        assert!(before > 200 << 20, "glibc gave it back by itself: {before}");
        give_back().unwrap();
        let given_back = (0..1200).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            own_memory() < before - (200 << 20)
        });
        assert!(given_back, "{} of {before}", own_memory());
        assert_eq!(blocks.iter().flatten().map(Vec::len).sum::<usize>(), 64 * BLOCK);
    }
}
