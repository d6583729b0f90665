//! How the C library's allocator takes memory from the kernel.

/// From which size on an allocation has a mapping of its own: glibc's own first bound.
const APART_BYTES: libc::c_int = 128 << 10;

/// Has all threads share the heap that the process began with.
///
/// glibc gives each new thread a heap of its own, up to eight for each CPU, and their pages stay in use when the threads are gone. The
/// shim's threads are few and most of the time blocked, so that they hardly ever wait for each other.
///
/// Nothing is told when it fails, because everything works as well without.
pub fn keep_one_heap() {
    // SAFETY: takes two numbers and changes the allocator's settings, under its own lock.
    let _kept = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Gives every large allocation a mapping of its own, which goes when it is freed.
///
/// glibc begins like that, and raises its bound to the size of what was freed once. Later ones come from memory that was used before, so
/// what is asked for as zeroes is written, all of it: a large buffer of which little is used becomes memory in use.
///
/// Nothing is told when it fails, because everything works as well without.
pub fn keep_large_allocations_apart() {
    // SAFETY: takes two numbers and changes the allocator's settings, under its own lock.
    let _kept = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, APART_BYTES) };
}
