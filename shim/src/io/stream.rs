//! One descriptor that is read or written on the event loop without blocking it. Must not know what is at its end.

use std::{io, os::fd::OwnedFd, sync::Arc};

use rustix::io::Errno;
use tokio::io::{Interest, unix::AsyncFd};

use super::{IoError, open::set_nonblocking};
use crate::readiness::watch;

/// A descriptor, by how it can be waited for.
#[derive(Debug)]
pub(super) enum Stream {
    /// FIFOs, pipes, terminals: the kernel tells when they are ready.
    Polled(AsyncFd<OwnedFd>),
    /// Files, and devices that are always ready: the call itself takes the time, on a thread of its own.
    Blocking(Arc<OwnedFd>),
}

impl Stream {
    /// Makes the descriptor's description non-blocking, so it must not be shared with a container's process.
    pub(super) fn new(descriptor: OwnedFd) -> Result<Self, IoError> {
        set_nonblocking(&descriptor)?;
        let error = IoError::call("epoll_ctl(EPOLL_CTL_ADD)", "a standard stream");
        let same = match descriptor.try_clone() {
            Ok(same) => same,
            Err(source) => return Err(error(source)),
        };
        match watch(descriptor, Interest::READABLE | Interest::WRITABLE) {
            Ok(descriptor) => Ok(Self::Polled(descriptor)),
            Err(refused) if refused.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                Ok(Self::Blocking(Arc::new(same)))
            }
            Err(source) => Err(error(source)),
        }
    }

    /// Reads once, as soon as there is something; 0 is the end.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Polled(descriptor) => {
                descriptor.async_io(Interest::READABLE, |inner| read_now(inner, buffer)).await
            }
            Self::Blocking(descriptor) => {
                let descriptor = Arc::clone(descriptor);
                let mut bytes = vec![0; buffer.len()];
                let read = tokio::task::spawn_blocking(move || {
                    read_now(&descriptor, &mut bytes).map(|length| (bytes, length))
                });
                let (bytes, length) = read.await.map_err(io::Error::other)??;
                buffer[..length].copy_from_slice(&bytes[..length]);
                Ok(length)
            }
        }
    }

    /// Reads as soon as there is something, and then until nothing is left or the buffer is full; 0 is the end. An error
    /// that comes after something was read is the next call's.
    pub(super) async fn read_burst(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut length = self.read(buffer).await?;
        let Self::Polled(descriptor) = self else { return Ok(length) };
        // `try_io` tells the event loop when nothing is left, so that the next wait does not begin with a read.
        while (1..buffer.len()).contains(&length)
            && let Ok(more @ 1..) =
                descriptor.try_io(Interest::READABLE, |inner| read_now(inner, &mut buffer[length..]))
        {
            length += more;
        }
        Ok(length)
    }

    /// Reads what is there at this moment; `WouldBlock` when that is nothing.
    pub(super) fn read_ready(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Polled(descriptor) => read_now(descriptor.get_ref(), buffer),
            Self::Blocking(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes everything, waiting as long as the other end takes nothing.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match self {
                Self::Polled(descriptor) => {
                    descriptor.async_io(Interest::WRITABLE, |inner| write_now(inner, bytes)).await?
                }
                Self::Blocking(descriptor) => {
                    let (descriptor, owned) = (Arc::clone(descriptor), bytes.to_vec());
                    let write = tokio::task::spawn_blocking(move || write_now(&descriptor, &owned));
                    write.await.map_err(io::Error::other)??
                }
            };
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// The descriptor itself, for calls that do not wait.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        match self {
            Self::Polled(descriptor) => descriptor.get_ref(),
            Self::Blocking(descriptor) => descriptor,
        }
    }
}

fn read_now(descriptor: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::retry_on_intr(|| rustix::io::read(descriptor, &mut *buffer))?)
}

fn write_now(descriptor: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::retry_on_intr(|| rustix::io::write(descriptor, bytes))?)
}
