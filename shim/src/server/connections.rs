//! Connections to the pod's socket: only of the shim's own user, and counted. Must not know what they carry.

use std::{
    fmt, io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use rustix::net::sockopt::socket_peercred;
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, Interest, ReadBuf, unix::AsyncFd},
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use crate::{readiness::watch, socket::Socket};

/// After an accept that failed for want of descriptors or memory: the next would fail at once, too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes a message whole, as most are: its header and its body are read one after the other. A longer body's rest is read
/// to where it belongs.
const READ_BUFFER_BYTES: usize = 4096;

/// How many connections are open. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenConnections(watch::Sender<usize>);

impl OpenConnections {
    pub(super) async fn all_closed(&self) {
        // Cannot fail: this is itself a sender.
        if self.0.subscribe().wait_for(|open| *open == 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The stream of accepted connections that ttrpc's server takes.
pub(super) struct SameUserConnections {
    listener: AsyncFd<OwnedFd>,
    own_uid: u32,
    open: OpenConnections,
    pause: Option<Pin<Box<Sleep>>>,
}

impl SameUserConnections {
    /// Of a listener that does not block.
    pub(super) fn new(listener: UnixListener, open: OpenConnections) -> io::Result<Self> {
        let listener = watch(listener.into(), Interest::READABLE)?;
        Ok(Self { listener, own_uid: rustix::process::geteuid().as_raw(), open, pause: None })
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        loop {
            let mut guard = ready!(self.listener.poll_read_ready(context))?;
            match Socket::accept(self.listener.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                accepted => return Poll::Ready(accepted),
            }
        }
    }

    /// The file mode of the socket already keeps others out; a socket in a directory that was opened up still does.
    fn admit(&self, stream: Socket) -> Option<Connection> {
        match socket_peercred(&stream) {
            Ok(peer) if peer.uid.as_raw() == self.own_uid => {
                self.open.0.send_modify(|open| *open += 1);
                let stream = BufReader::with_capacity(READ_BUFFER_BYTES, stream);
                Some(Connection { stream, open: self.open.clone() })
            }
            Ok(peer) => {
                let (uid, pid) = (peer.uid.as_raw(), peer.pid.as_raw_nonzero());
                tracing::warn!(uid, pid, "connection of another user refused");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "connection of an unknown user refused");
                None
            }
        }
    }
}

impl fmt::Debug for SameUserConnections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SameUserConnections")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl Stream for SameUserConnections {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(pause) = this.pause.as_mut() {
                ready!(pause.as_mut().poll(context));
                this.pause = None;
            }
            match ready!(this.poll_accept(context)) {
                Ok(stream) => {
                    if let Some(connection) = this.admit(stream) {
                        return Poll::Ready(Some(Ok(connection)));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "accept a connection");
                    this.pause = Some(Box::pin(sleep_until(Instant::now() + ACCEPT_PAUSE)));
                }
            }
        }
    }
}

/// An admitted connection; counted until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<Socket>,
    open: OpenConnections,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.0.send_modify(|open| *open -= 1);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
