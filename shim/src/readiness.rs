//! Descriptors that tokio has no type for (pidfds, pty masters, cgroup files), awaited on the event loop.
//!
//! Must not know what they are.

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers a descriptor with the current event loop for the readiness in `interest`.
///
/// # Errors
/// What epoll_ctl(2) returns; `EPERM` for a descriptor that cannot be polled.
pub fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        deprecated,
        reason = "sound here: the only type let in owns one open descriptor, and stays inside until it is deregistered"
    )]
    AsyncFd::with_interest(descriptor, interest)
}
