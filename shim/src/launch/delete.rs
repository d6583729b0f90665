//! `delete`: clean up after a shim that is gone, and tell how its task ended.
//!
//! containerd calls it once for a pod whose shim crashed, with the sandbox's id; nobody else will clean the pod's
//! other containers, so every bundle of the group is cleaned. Each step takes "already gone" for success. What fails
//! is reported and the next step still tried: less is left behind that way. Must not know how a container was made.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use ballast_cgroups::{Cgroup, CgroupPath, Hierarchy};
use ballast_runtime::Record;
use containerd_shim_protos::{
    api::DeleteResponse,
    protobuf::{Message, MessageField, well_known_types::timestamp::Timestamp},
};
use rustix::mount::UnmountFlags;

use super::{
    arguments::Identity,
    group,
    socket::{DEFAULT_DIRECTORY, SocketPath},
};

/// containerd gives a whole clean-up five seconds.
const TIME_BOUND: Duration = Duration::from_secs(4);
/// As a shell would tell of SIGKILL, which is how this ends a task.
const KILLED_STATUS: u32 = 128 + 9;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The working directory, which is the bundle, cannot be told.
    #[error("find bundle")]
    Bundle(#[source] io::Error),
    /// The answer does not encode.
    #[error("encode answer")]
    Encode(#[from] containerd_shim_protos::protobuf::Error),
}

/// Why a container may still run.
#[derive(Debug, thiserror::Error)]
enum KillError {
    #[error(transparent)]
    Record(#[from] ballast_runtime::CallError),
    #[error(transparent)]
    Cgroup(#[from] ballast_cgroups::Error),
}

/// A container of the group: its id names its bundle.
struct Member {
    id: String,
    bundle: PathBuf,
}

/// Cleans the task `identity` and its group. Returns the encoded `DeleteResponse`.
pub(super) fn delete(identity: &Identity) -> Result<Vec<u8>, DeleteError> {
    let deadline = Instant::now() + TIME_BOUND;
    let bundle = match &identity.bundle {
        Some(bundle) => bundle.clone(),
        None => std::env::current_dir().map_err(DeleteError::Bundle)?,
    };
    let own = Member { id: identity.id.clone(), bundle: bundle.clone() };
    let socket = socket_of(identity, &bundle);
    let others = if left_something(identity, &socket) { other_members(&own) } else { Vec::new() };
    // All are killed before the first is waited for.
    let members: Vec<Member> = std::iter::once(own).chain(others).collect();
    let killed: Vec<_> = members.iter().map(|member| kill(&identity.namespace, member)).collect();
    for (member, cgroup) in members.iter().zip(killed) {
        clean(&identity.namespace, member, cgroup, deadline);
    }
    // A live socket stays: somebody serves there.
    socket.remove_stale().unwrap_or_else(|error| warn("remove socket", &error));
    answer()
}

/// The pid is left out: whoever had it is gone, and nothing outlives the shim that tells it.
fn answer() -> Result<Vec<u8>, DeleteError> {
    let response = DeleteResponse {
        exit_status: KILLED_STATUS,
        exited_at: MessageField::some(Timestamp::from(SystemTime::now())),
        ..DeleteResponse::default()
    };
    Ok(response.write_to_bytes()?)
}

/// Every other bundle beside `own` that belongs to the group named after it. containerd writes the sandbox's id into
/// a file of the bundles that share its shim; for the others the annotations tell.
fn other_members(own: &Member) -> Vec<Member> {
    let Some(Ok(entries)) = own.bundle.parent().map(std::fs::read_dir) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some(Member { id: entry.file_name().into_string().ok()?, bundle: entry.path() }))
        .filter(|member| member.id != own.id && group_of(&member.bundle).as_deref() == Some(&own.id))
        .collect()
}

fn group_of(bundle: &Path) -> Option<String> {
    match std::fs::read_to_string(bundle.join("sandbox")) {
        Ok(sandbox) => Some(sandbox.trim().to_owned()),
        // A bundle whose config is broken names no group, and so is not touched for another's sake.
        Err(_) => group::of_bundle(bundle).ok().flatten(),
    }
}

/// Kills what runs in the member's cgroup, if there is one. Only a record says which cgroup that is: config.json names
/// what was asked for, which may be somebody else's.
fn kill(namespace: &str, member: &Member) -> Result<Option<Cgroup>, KillError> {
    let Some(path) = Record::of(namespace, &member.id).cgroup()? else { return Ok(None) };
    let path = CgroupPath::parse(&format!("/{path}"))?;
    let cgroup = match Hierarchy::discover()?.find(&path) {
        Err(error) if error.kind() == ballast_cgroups::Kind::NotFound => return Ok(None),
        found => found?,
    };
    cgroup.kill_all()?;
    Ok(Some(cgroup))
}

/// The record goes last and only after its cgroup: as long as there is something to kill, it tells where.
fn clean(namespace: &str, member: &Member, cgroup: Result<Option<Cgroup>, KillError>, deadline: Instant) {
    let rootfs = member.bundle.join("rootfs");
    unmount_all(&rootfs).unwrap_or_else(|error| warn(&format!("unmount {}", rootfs.display()), &error));
    let removed = cgroup.and_then(|cgroup| {
        cgroup.map_or(Ok(()), |cgroup| cgroup.delete(deadline))?;
        Ok(Record::of(namespace, &member.id).remove()?)
    });
    removed.unwrap_or_else(|error| warn(&format!("clean up container {}", member.id), &error));
}

/// Takes off everything mounted at `path`, each with all that is mounted below it.
fn unmount_all(path: &Path) -> rustix::io::Result<()> {
    loop {
        match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // EINVAL: not, or no longer, a mount point.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The socket of a group that was named after this task.
fn socket_of(identity: &Identity, bundle: &Path) -> SocketPath {
    let directory = std::fs::read_link(bundle.join("s")).unwrap_or_else(|_| PathBuf::from(DEFAULT_DIRECTORY));
    SocketPath::new(&directory, &identity.grpc_address, &identity.namespace, &identity.id)
}

/// Whether the shim left its task or its socket behind. containerd also calls after every proper end, and waits for the
/// answer; the bundles of all other pods need not be read then.
fn left_something(identity: &Identity, socket: &SocketPath) -> bool {
    socket.exists() || !matches!(Record::of(&identity.namespace, &identity.id).cgroup(), Ok(None))
}

/// containerd logs what `delete` writes to standard error.
fn warn(step: &str, error: &dyn std::error::Error) {
    eprintln!("{step}: {}", ballast_runtime::report(error));
}

#[cfg(test)]
#[path = "delete_tests.rs"]
mod tests;
