//! A connected Unix socket that wakes its reader for what there is to read, and for nothing else.
//!
//! tokio's own waits for reading and writing at once. The kernel tells of every answer that the peer has taken off the socket that
//! more can be written, so that a loop which nobody waits for turns once more for nearly each request. Here, writing is
//! waited for from the first time on that the kernel does not take what is written, by a second descriptor.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, SocketFlags, accept_with, recv, send, shutdown},
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

use crate::readiness::watch;

/// A connection. It does not block, and is closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    readable: AsyncFd<OwnedFd>,
    /// The same socket.
    writable: Option<AsyncFd<OwnedFd>>,
}

impl Socket {
    /// Takes over a connection that does not block.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(crate) fn new(connection: OwnedFd) -> io::Result<Self> {
        Ok(Self { readable: watch(connection, Interest::READABLE)?, writable: None })
    }

    /// Accepts a connection, without waiting.
    ///
    /// # Errors
    /// Those of `accept4(2)`; when it cannot be waited for.
    pub(crate) fn accept(listener: impl AsFd) -> io::Result<Self> {
        Self::new(accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?)
    }

    /// Waits until something can be written, after the kernel has refused to take more.
    fn poll_writable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let writable = match &mut self.writable {
            Some(writable) => writable,
            none => none.insert(watch(self.readable.get_ref().try_clone()?, Interest::WRITABLE)?),
        };
        let mut guard = ready!(writable.poll_write_ready(context))?;
        // Whoever writes now either has room, or waits for the next time that there is some.
        guard.clear_ready();
        Poll::Ready(Ok(()))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.get_ref().as_fd()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        loop {
            let mut guard = ready!(self.readable.poll_read_ready(context))?;
            match recv(&*self, buffer.initialize_unfilled(), RecvFlags::empty()) {
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
                Ok((length, _)) => {
                    // A stream that gives less than there is room for has no more: the next try would only be told so.
                    if 0 < length && length < room {
                        guard.clear_ready();
                    }
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match send(&*self, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::AGAIN) => ready!(self.poll_writable(context))?,
                Err(Errno::INTR) => {}
                sent => return Poll::Ready(Ok(sent?)),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(shutdown(&*self, Shutdown::Write)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::epoll::EventFlags;
    use std::{
        io::{Read, Write},
        os::{fd::AsRawFd, unix::net::UnixStream},
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// More than the buffers of both sides.
    const MUCH: usize = 4 << 20;

    fn pair() -> (Socket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Socket::new(ours.into()).unwrap(), theirs)
    }

    /// What epoll waits for of a descriptor, as the event loops of this process say in `/proc/self/fdinfo`.
    fn waited_for(descriptor: &impl AsRawFd) -> Vec<EventFlags> {
        let this = format!(" {} events:", descriptor.as_raw_fd());
        let loops = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
        let infos = loops.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
        let lines = infos.flat_map(|info| info.lines().map(str::to_owned).collect::<Vec<_>>());
        let events = lines.filter(|line| line.starts_with("tfd:")).filter_map(|line| {
            let line = line.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            let (_, events) = line.split_once(&this)?;
            let bits = u32::from_str_radix(events.split_ascii_whitespace().next()?, 16).unwrap();
            Some(EventFlags::from_bits_retain(bits).intersection(EventFlags::IN | EventFlags::OUT))
        });
        // A loop is there under two numbers.
        let mut events: Vec<_> = events.collect();
        events.dedup();
        events
    }

    #[tokio::test]
    async fn messages_go_both_ways_and_the_end_is_told() {
        let (mut socket, mut peer) = pair();
        socket.write_all(b"question").await.unwrap();
        let mut buffer = [0; 8];
        peer.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"question");
        peer.write_all(b"answer, and more").unwrap();
        let mut heard = [0; 6];
        socket.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"answer");
        drop(peer);
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b", and more");
        assert_eq!(socket.write_all(b"?").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_writer_waits_for_a_peer_that_is_slow_and_nobody_is_woken_for_writing_before() {
        let (mut socket, mut peer) = pair();
        let events = waited_for(socket.readable.get_ref());
        assert_eq!(events, [EventFlags::IN]);
        let reader = std::thread::spawn(move || {
            let mut heard = Vec::new();
            peer.read_to_end(&mut heard).unwrap();
            heard
        });
        let sent: Vec<u8> = (0..MUCH).map(|position| position.to_le_bytes()[1]).collect();
        socket.write_all(&sent).await.unwrap();
        let events =
            waited_for(socket.writable.as_ref().expect("the kernel did not take it at once").get_ref());
        assert_eq!(events, [EventFlags::OUT]);
        socket.shutdown().await.unwrap();
        drop(socket);
        assert!(reader.join().unwrap() == sent);
    }
}
