//! Messages with descriptors over a stream socket pair: between the shim and its spawner, and between the shim and each
//! process until its `execve`.
//!
//! A message is a length, a count of descriptors, and a postcard body. The socket is a stream because a plan may be larger
//! than what one datagram can hold. Knows nothing of what the messages mean.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;

/// The kernel passes at most this many descriptors by one message (`SCM_MAX_FD`).
const DESCRIPTORS_PER_MESSAGE: usize = 253;
const HEADER_BYTES: usize = 8;
/// Takes an answer, or the plan of an exec, at once; a page of a process that was just forked, or has just forked, is costly.
const FIRST_READ_BYTES: usize = 4096;

/// Why a message did not get across.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other side is gone.
    #[error("the other side closed the channel")]
    Closed,
    /// The socket failed.
    #[error("{call} on the channel")]
    Socket {
        /// The system call that failed.
        call: &'static str,
        /// Its errno.
        #[source]
        errno: Errno,
    },
    /// The bytes are no message; both sides are the same binary, so this is a defect of ours.
    #[error("malformed message")]
    Malformed(#[from] postcard::Error),
}

/// One end of a channel.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Both ends, close-on-exec.
    pub(crate) fn pair() -> Result<(Self, Self), ChannelError> {
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(|errno| ChannelError::Socket { call: "socketpair", errno })?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// Takes over an end that came as a descriptor of another message.
    pub(crate) fn from_descriptor(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Gives up the end as a descriptor.
    pub(crate) fn into_descriptor(self) -> OwnedFd {
        self.socket
    }

    /// Sends one message.
    pub(crate) fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes = postcard::to_extend(message, bytes)?;
        let body_length =
            u32::try_from(bytes.len() - HEADER_BYTES).map_err(|_| postcard::Error::SerializeBufferFull)?;
        let count = u32::try_from(descriptors.len()).map_err(|_| postcard::Error::SerializeBufferFull)?;
        bytes[..4].copy_from_slice(&body_length.to_ne_bytes());
        bytes[4..HEADER_BYTES].copy_from_slice(&count.to_ne_bytes());

        // All but the last batch of descriptors ride on one byte each of the header, the last on what remains.
        let mut rest = bytes.as_slice();
        let mut batches = descriptors.chunks(DESCRIPTORS_PER_MESSAGE).peekable();
        while let Some(batch) = batches.next() {
            let piece = if batches.peek().is_some() { &rest[..1] } else { rest };
            let sent = self.send_piece(piece, batch)?;
            rest = &rest[sent..];
        }
        while !rest.is_empty() {
            let sent = self.send_piece(rest, &[])?;
            rest = &rest[sent..];
        }
        Ok(())
    }

    fn send_piece(&self, piece: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<usize, ChannelError> {
        if descriptors.is_empty() {
            return self.write_piece(piece);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_MESSAGE))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(ChannelError::Socket { call: "sendmsg", errno: Errno::NOBUFS });
        }
        loop {
            match sendmsg(&self.socket, &[IoSlice::new(piece)], &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(sent) => return Ok(sent),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(ChannelError::Closed),
                Err(errno) => return Err(ChannelError::Socket { call: "sendmsg", errno }),
            }
        }
    }

    /// By `write(2)`: the one call that a seccomp profile with a notifier may not intercept, so that a process under one
    /// can still report.
    fn write_piece(&self, piece: &[u8]) -> Result<usize, ChannelError> {
        loop {
            match rustix::io::write(&self.socket, piece) {
                Ok(written) => return Ok(written),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(ChannelError::Closed),
                Err(errno) => return Err(ChannelError::Socket { call: "write", errno }),
            }
        }
    }

    /// Waits for one message. `Closed` when the other side is gone, which for a process includes a successful `execve`.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>), ChannelError> {
        let mut descriptors = Vec::new();
        let mut buffer = vec![0; FIRST_READ_BYTES];
        let mut filled = 0;
        while filled < HEADER_BYTES {
            filled += self.receive_piece(&mut buffer[filled..], &mut descriptors)?;
        }
        let header = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&buffer[at..at + 4]);
            u32::from_ne_bytes(word) as usize
        };
        let (body_length, count) = (header(0), header(4));
        let total = HEADER_BYTES + body_length;
        buffer.resize(total.max(filled), 0);
        while filled < total || descriptors.len() < count {
            filled += self.receive_piece(&mut buffer[filled..], &mut descriptors)?;
        }
        Ok((postcard::from_bytes(&buffer[HEADER_BYTES..total])?, descriptors))
    }

    fn receive_piece(&self, into: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> Result<usize, ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_MESSAGE))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match recvmsg(&self.socket, &mut [IoSliceMut::new(into)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
            {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Err(ChannelError::Closed),
                Err(errno) => return Err(ChannelError::Socket { call: "recvmsg", errno }),
            }
        };
        if received.bytes == 0 {
            return Err(ChannelError::Closed);
        }
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        // The kernel drops descriptors that this process has no room for, and says so only here.
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(ChannelError::Socket { call: "recvmsg", errno: Errno::MFILE });
        }
        Ok(received.bytes)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_message_larger_than_the_socket_buffer_arrives_whole() {
        let (one, other) = Channel::pair().unwrap();
        let text = "x".repeat(3 * 1024 * 1024);
        let sent = text.clone();
        let sender = std::thread::spawn(move || one.send(&sent, &[]).unwrap());
        let (received, _) = other.receive::<String>().unwrap();
        sender.join().unwrap();
        assert_eq!(received, text);
    }

    #[test]
    fn more_descriptors_than_one_message_can_carry_arrive_in_order() {
        let (one, other) = Channel::pair().unwrap();
        let pipes: Vec<_> = (0..300).map(|_| rustix::pipe::pipe().unwrap()).collect();
        let writers: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
        one.send(&7u32, &writers).unwrap();
        let (number, received) = other.receive::<u32>().unwrap();
        assert_eq!((number, received.len()), (7, 300));
        for (index, writer) in received.into_iter().enumerate() {
            std::fs::File::from(writer).write_all(&[u8::try_from(index % 251).unwrap()]).unwrap();
        }
        for (index, (reader, _)) in pipes.into_iter().enumerate() {
            let mut byte = [0];
            std::fs::File::from(reader).read_exact(&mut byte).unwrap();
            assert_eq!(usize::from(byte[0]), index % 251);
        }
    }

    #[test]
    fn a_closed_peer_is_told_apart_from_a_failure() {
        let (one, other) = Channel::pair().unwrap();
        drop(one);
        assert!(matches!(other.receive::<u32>(), Err(ChannelError::Closed)));
        assert!(matches!(other.send(&1u32, &[]), Err(ChannelError::Closed)));
    }
}
