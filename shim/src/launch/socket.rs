//! The pod's socket: where it is, and who listens on it.
//!
//! The first `start` of a group binds it and hands the listener to the daemon; later ones find it alive and join.
//! A lock on the directory makes "is anybody there" and "then I am" one step. Must not know what is served.

use std::{
    fs::DirBuilder,
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use sha2::{Digest, Sha256};

/// Where containerd's shims put their sockets when they are not told otherwise.
pub(super) const DEFAULT_DIRECTORY: &str = "/run/containerd/s";
const ONLY_OWNER: u32 = 0o700;
/// Connections that may wait until the daemon accepts them: one for each container that is created meanwhile.
const BACKLOG: i32 = 128;

/// What a call on the socket or its directory returned.
#[derive(Debug, thiserror::Error)]
#[error("{step} {}", path.display())]
pub struct SocketError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A socket path, as containerd computes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SocketPath {
    directory: PathBuf,
    path: PathBuf,
}

/// What `claim` found or made.
#[derive(Debug)]
pub(super) enum Claim {
    /// A shim of the group listens already.
    Joined,
    /// Nobody did: the caller does now.
    Bound(BoundSocket),
}

/// A socket that listens; its file is removed again unless it is handed over.
#[derive(Debug)]
pub(super) struct BoundSocket {
    path: PathBuf,
    listener: OwnedFd,
    owned: bool,
}

impl SocketPath {
    /// The path for a group: the hash of containerd's socket, namespace and group, joined as paths are (containerd
    /// `pkg/shim/util_unix.go`, CreateSocketAddress).
    pub(super) fn new(directory: &Path, grpc_address: &str, namespace: &str, group: &str) -> Self {
        let digest = Sha256::digest(joined(&[grpc_address, namespace, group]));
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { directory: directory.to_owned(), path: directory.join(name) }
    }

    /// The address as containerd dials it.
    pub(super) fn address(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Joins the shim that listens here, or becomes it.
    pub(super) fn claim(&self) -> Result<Claim, SocketError> {
        let _lock = self.lock_directory()?;
        match self.bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if self.is_alive()? {
                    return Ok(Claim::Joined);
                }
                self.unlink()?;
                self.bind()
            }
            other => other,
        }
        .map(Claim::Bound)
        .map_err(|source| self.error("bind(AF_UNIX)", source))
    }

    /// Removes the file of a socket that nobody listens on, after what else says that somebody does. A missing one is fine; a
    /// live one stays.
    pub(super) fn remove_stale(&self, forget: impl FnOnce()) -> Result<(), SocketError> {
        let _lock = self.lock_directory()?;
        if self.is_alive()? {
            return Ok(());
        }
        forget();
        self.unlink()
    }

    /// Binds and listens. The file never has a mode that lets others in, not even for a moment: the kernel takes it
    /// from the socket itself (unix(7)), and no umask, which belongs to the whole process, is involved.
    fn bind(&self) -> io::Result<BoundSocket> {
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(&self.path)?)?;
        let bound = BoundSocket { path: self.path.clone(), listener: socket, owned: true };
        rustix::net::listen(&bound.listener, BACKLOG)?;
        Ok(bound)
    }

    /// Whether somebody listens. Never waits: a listener with a full backlog is alive, too.
    fn is_alive(&self) -> Result<bool, SocketError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let connect = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .and_then(|socket| rustix::net::connect(&socket, &SocketAddrUnix::new(&self.path)?));
        match connect {
            Ok(()) | Err(Errno::AGAIN) => Ok(true),
            Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
            Err(error) => Err(self.error("connect", error.into())),
        }
    }

    fn unlink(&self) -> Result<(), SocketError> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error("unlink", error)),
            _ => Ok(()),
        }
    }

    /// The lock of all `start`s and `delete`s in this directory; gone with the descriptor.
    fn lock_directory(&self) -> Result<OwnedFd, SocketError> {
        let error = |step| {
            move |source: Errno| SocketError { step, path: self.directory.clone(), source: source.into() }
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || rustix::fs::open(&self.directory, flags, Mode::empty());
        let directory = match open() {
            Err(Errno::NOENT) => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(ONLY_OWNER)
                    .create(&self.directory)
                    .map_err(|source| self.error("mkdir for", source))?;
                open()
            }
            other => other,
        }
        .map_err(error("open"))?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&directory, FlockOperation::LockExclusive))
            .map_err(error("flock"))?;
        Ok(directory)
    }

    fn error(&self, step: &'static str, source: io::Error) -> SocketError {
        SocketError { step, path: self.path.clone(), source }
    }
}

impl From<PathBuf> for SocketPath {
    /// A path that was computed before, by whoever bound it.
    fn from(path: PathBuf) -> Self {
        Self { directory: path.parent().map(Path::to_owned).unwrap_or_default(), path }
    }
}

impl BoundSocket {
    /// The listener, for the daemon's standard input.
    pub(super) fn listener(&self) -> io::Result<OwnedFd> {
        self.listener.try_clone()
    }

    /// The daemon has the listener now, and with it the file.
    pub(super) fn hand_over(mut self) {
        self.owned = false;
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if self.owned {
            // Already failing: the first error is the one to report, and the next `start` finds the socket dead.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// Go's `filepath.Join`: empty parts left out, and the whole cleaned of `.`, `..` and double slashes.
fn joined(parts: &[&str]) -> String {
    let text = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
    let rooted = text.starts_with('/');
    let mut components: Vec<&str> = Vec::new();
    for component in text.split('/') {
        match component {
            "" | "." => {}
            ".." if components.last().is_some_and(|last| *last != "..") => {
                components.pop();
            }
            ".." if rooted => {}
            component => components.push(component),
        }
    }
    let path = components.join("/");
    match (rooted, path.is_empty()) {
        (true, _) => format!("/{path}"),
        (false, true) => {
            if text.is_empty() {
                String::new()
            } else {
                ".".to_owned()
            }
        }
        (false, false) => path,
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
