//! How the C library keeps memory.

/// Makes threads share arenas instead of each having its own. A master starts threads for every
/// upload and every merge; what they free stays with the arena that it came from, and with one for
/// each of them (glibc allows eight a core) the master would grow with the number of jobs that it has
/// seen. The large buffers are reused and not freed, so threads seldom wait for each other there.
pub(crate) fn share_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const ARENAS: i32 = 2;
        // SAFETY: mallopt may be called at any time, and only changes how later allocations are made.
        #[allow(unsafe_code, reason = "there is no safe way to call it")]
        let set = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
        debug_assert_eq!(set, 1, "glibc has known M_ARENA_MAX since 2.10");
    }
}
