//! What the host and the node's agent say to each other over one byte stream: commands run side by side, each a
//! *session*. Only the messages and their framing; knows neither processes nor the stream's kind.
//!
//! A frame is the payload's length in bytes (32 bits, little endian) and the payload (postcard). The stream may
//! begin with other output (a boot loader, a kernel); [`PREAMBLE`] ends it.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The agent's first bytes.
pub const PREAMBLE: &[u8] = b"\x00BALLAST-NODE-AGENT\x01";

/// No message is larger; a longer frame means that the two sides lost each other.
const MAX_FRAME_BYTES: u32 = 1 << 20;

/// How much of a stream travels in one message. Kept below a serial line's write buffer, so that one session's
/// output does not hold up the others.
pub const CHUNK_BYTES: usize = 3_500;

/// How many bytes the host has on the way to the node at most. A serial line's input buffer holds 4096 and
/// user-mode Linux can lose the wake-up for what arrives beyond it.
pub const WINDOW_BYTES: usize = 2_048;

/// One command run on the node.
pub type SessionId = u32;

/// A terminal's size in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The program (looked up in the node's `PATH`) and its arguments.
    pub argv: Vec<String>,
    /// Added to the node's environment.
    pub environment: Vec<(String, String)>,
    /// The working directory; `/` without one.
    pub directory: Option<String>,
    /// With a size: on a terminal of its own, whose output is standard output.
    pub terminal: Option<WindowSize>,
}

/// A host directory that the node sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Absolute path on the node.
    pub path: String,
    /// Where the node finds it.
    pub source: ShareSource,
    /// Whether the node may write.
    pub writable: bool,
}

/// How a node reaches a host directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareSource {
    /// The source of a `hostfs` mount, on user-mode Linux.
    Hostfs(String),
    /// A directory in the node's own tree, to be bound.
    Bind(String),
}

/// The container engine and what it needs, all as paths on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// containerd's configuration file.
    pub config: String,
    /// The directory that holds `containerd` and `ctr`.
    pub directory: String,
    /// The image registry's command line, started before containerd.
    pub registry: Vec<String>,
    /// Where the registry listens; it is up when it accepts there.
    pub registry_address: String,
}

/// What a node is told when it comes up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConfig {
    /// Mounted in this order.
    pub shares: Vec<Share>,
    /// Put before the system's directories in `PATH`.
    pub path: Vec<String>,
    /// A writable directory for the logs of what the node runs.
    pub logs: String,
    /// The container engine; `None` boots a bare kernel.
    pub engine: Option<Engine>,
}

/// Host to node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Finish booting; the first request, once. Answered by [`Event::Ready`] or [`Event::BootFailed`].
    Boot(BootConfig),
    /// Starts a session.
    Launch(SessionId, Launch),
    /// Bytes for standard input.
    Stdin(SessionId, Vec<u8>),
    /// Standard input has ended.
    StdinEnd(SessionId),
    /// The terminal changed its size.
    Resize(SessionId, WindowSize),
    /// Sends this signal number to the session's process.
    Signal(SessionId, i32),
    /// Stop the node.
    PowerOff,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Exited with this code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
    /// Never started, and why.
    NotStarted(String),
}

/// Node to host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The agent has read this many more bytes of the stream; see [`WINDOW_BYTES`].
    Consumed(u32),
    /// The node serves sessions. Sent once.
    Ready,
    /// The node cannot come up; the reason. Nothing but [`Event::Consumed`] follows.
    BootFailed(String),
    /// Bytes of a session's standard output.
    Stdout(SessionId, Vec<u8>),
    /// Bytes of a session's standard error.
    Stderr(SessionId, Vec<u8>),
    /// The process has ended and its streams are closed: the session's last event.
    Ended(SessionId, Ending),
}

/// Writes one frame.
///
/// # Errors
/// When the stream cannot be written.
pub fn write_frame(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let payload = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(payload.len() + 4);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&payload);
    stream.write_all(&frame)?;
    stream.flush()
}

/// Reads one frame.
///
/// # Errors
/// `UnexpectedEof` when the stream has ended, `InvalidData` when what arrived is no frame.
pub fn read_frame<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("frame of {length} bytes")));
    }
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload)?;
    postcard::from_bytes(&payload).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Skips what precedes the agent's [`PREAMBLE`].
///
/// # Errors
/// `UnexpectedEof` when the stream ends without one.
pub fn skip_to_preamble(stream: &mut impl Read) -> io::Result<()> {
    let mut matched = 0;
    while matched < PREAMBLE.len() {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        matched =
            if byte[0] == PREAMBLE[matched] { matched + 1 } else { usize::from(byte[0] == PREAMBLE[0]) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_stream() {
        let message = Request::Launch(
            7,
            Launch {
                argv: vec!["uname".into(), "-a".into()],
                environment: vec![("A".into(), "b".into())],
                directory: None,
                terminal: Some(WindowSize { rows: 24, columns: 80 }),
            },
        );
        let mut stream = Vec::new();
        write_frame(&mut stream, &message).unwrap();
        assert_eq!(read_frame::<Request>(&mut stream.as_slice()).unwrap(), message);
    }

    #[test]
    fn what_a_kernel_prints_before_the_agent_is_skipped() {
        let mut stream = b"booting...\x00BALLAST\x00".to_vec();
        stream.extend_from_slice(PREAMBLE);
        stream.push(42);
        let mut rest = stream.as_slice();
        skip_to_preamble(&mut rest).unwrap();
        assert_eq!(rest, [42]);
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_instead_of_allocated() {
        let error = read_frame::<Event>(&mut [255; 8].as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
