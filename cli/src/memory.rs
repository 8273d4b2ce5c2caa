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

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set(parameter: libc::c_int, value: libc::c_int) {
    // SAFETY: mallopt may be called at any time, and only changes how later allocations are made.
    #[allow(unsafe_code, reason = "there is no safe way to call it")]
    let set = unsafe { libc::mallopt(parameter, value) };
    debug_assert_eq!(set, 1, "glibc has known these parameters since 2.10");
}
