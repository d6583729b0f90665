//! `delete`: clean up after a shim that is gone, and tell how its task ended.
//!
//! containerd calls it once for a pod whose shim crashed, with the sandbox's id; nobody else will clean the pod's
//! other containers, so every container that the shim recorded is cleaned. Their bundles may be gone by then: containerd
//! removes those that CRI saw fail meanwhile. Each step takes "already gone" for success. What fails
//! is reported and the next step still tried: less is left behind that way. Must not know how a container was made.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use ballast_cgroups::{
    Cgroup, CgroupPath, Hierarchy,
    memory_qos::{LevelsLock, PodPlace},
};
use ballast_runtime::{Record, STATE_DIRECTORY, ShimRecord};
use containerd_shim_protos::{
    api::DeleteResponse,
    protobuf::{Message, MessageField, well_known_types::timestamp::Timestamp},
};
use rustix::mount::UnmountFlags;

use super::{
    arguments::Identity,
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

/// A container to clean.
struct Member {
    record: Option<Record>,
    bundle: PathBuf,
}

/// Cleans the task `identity` and its group. Returns the encoded `DeleteResponse`.
pub(super) fn delete(identity: &Identity) -> Result<Vec<u8>, DeleteError> {
    let deadline = Instant::now() + TIME_BOUND;
    let bundle = match &identity.bundle {
        Some(bundle) => bundle.clone(),
        None => std::env::current_dir().map_err(DeleteError::Bundle)?,
    };
    let members = members(identity, &bundle);
    // All are killed before the first is waited for.
    let killed: Vec<_> = members.iter().map(kill).collect();
    // Before the records go, which tell where it was.
    let mut places: Vec<PodPlace> = members.iter().filter_map(place).collect();
    // One pod, as a rule.
    places.dedup();
    for (member, cgroup) in members.iter().zip(killed) {
        clean(member, cgroup, deadline);
    }
    for place in places {
        release_levels(&place).unwrap_or_else(|error| warn("give the levels above back", &error));
    }
    let record = ShimRecord::of(&identity.namespace, &identity.id);
    let socket = socket_of(identity, &record, &bundle);
    // A live socket stays: somebody serves there.
    let forget = || {
        let removed = record.remove();
        removed.unwrap_or_else(|error| warn("remove the shim's record", &error));
    };
    socket.remove_stale(forget).unwrap_or_else(|error| warn("remove socket", &error));
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

/// The container itself and, when its shim was started for it, all others of that shim.
fn members(identity: &Identity, bundle: &Path) -> Vec<Member> {
    let (namespace, id) = (&identity.namespace, &identity.id);
    let records = Record::all_of(namespace, id).unwrap_or_else(|error| {
        warn("read records", &error);
        Vec::new()
    });
    let place = |record: &Record| bundle.parent().map_or_else(PathBuf::new, |state| state.join(record.id()));
    let mut members: Vec<_> =
        records.into_iter().map(|record| Member { bundle: place(&record), record: Some(record) }).collect();
    if !members.iter().any(|member| member.record.as_ref().is_some_and(|record| record.id() == id)) {
        let record = Record::find(namespace, id).unwrap_or_else(|error| {
            warn("find the record", &error);
            None
        });
        members.push(Member { record, bundle: bundle.to_owned() });
    }
    members
}

/// Kills what runs in the member's cgroup, if there is one. Only a record says which cgroup that is: config.json names
/// what was asked for, which may be somebody else's.
fn kill(member: &Member) -> Result<Option<Cgroup>, KillError> {
    let Some(record) = &member.record else { return Ok(None) };
    let Some(path) = record.cgroup()? else { return Ok(None) };
    let path = CgroupPath::parse(&path)?;
    let cgroup = match Hierarchy::discover()?.find(&path) {
        Err(error) if error.kind() == ballast_cgroups::Kind::NotFound => return Ok(None),
        found => found?,
    };
    cgroup.kill_all()?;
    Ok(Some(cgroup))
}

/// Where the member's pod is, if kubelet laid that out.
fn place(member: &Member) -> Option<PodPlace> {
    let path = member.record.as_ref()?.cgroup().ok()??;
    PodPlace::of(&CgroupPath::parse(&path).ok()?)
}

/// Takes what the pod's containers protected off the cgroups above, as far as Ballast keeps those, and gives the pod's cgroup back
/// what it held before their priorities.
fn release_levels(place: &PodPlace) -> Result<(), ballast_cgroups::Error> {
    let lock = LevelsLock::take(Path::new(STATE_DIRECTORY))?;
    let hierarchy = Hierarchy::discover()?;
    let protection = hierarchy.settle_protection(place, None, &lock);
    let priority = hierarchy.release_priority(place, &lock);
    protection.and(priority)
}

/// The record goes last and only after its cgroup: as long as there is something to kill, it tells where.
fn clean(member: &Member, cgroup: Result<Option<Cgroup>, KillError>, deadline: Instant) {
    let rootfs = member.bundle.join("rootfs");
    unmount_all(&rootfs).unwrap_or_else(|error| warn(&format!("unmount {}", rootfs.display()), &error));
    let removed = cgroup.and_then(|cgroup| {
        cgroup.map_or(Ok(()), |cgroup| cgroup.delete(deadline))?;
        Ok(member.record.as_ref().map_or(Ok(()), Record::remove)?)
    });
    removed.unwrap_or_else(|error| warn(&format!("clean up {}", member.bundle.display()), &error));
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

/// The socket of a group that was named after this task: the recorded one, or where it would be.
fn socket_of(identity: &Identity, record: &ShimRecord, bundle: &Path) -> SocketPath {
    match record.socket() {
        Ok(Some(socket)) => return SocketPath::from(socket),
        Ok(None) => {}
        Err(error) => warn("read the shim's record", &error),
    }
    let directory = std::fs::read_link(bundle.join("s")).unwrap_or_else(|_| PathBuf::from(DEFAULT_DIRECTORY));
    SocketPath::new(&directory, &identity.grpc_address, &identity.namespace, &identity.id)
}

/// containerd logs what `delete` writes to standard error.
fn warn(step: &str, error: &dyn std::error::Error) {
    eprintln!("{step}: {}", ballast_runtime::report(error));
}

#[cfg(test)]
#[path = "delete_tests.rs"]
mod tests;
