//! Hands the descriptor of a seccomp notifier to the agent that the profile names.
//!
//! OCI runtime-spec config-linux.md, "The Container Process State": the agent reads one message with the descriptor and a
//! JSON object.

use crate::error::{CallContext, Error};
use crate::hooks::State;
use crate::process::ListenerTarget;
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, sendmsg, socket_with,
};
use serde::Serialize;
use std::io::IoSlice;
use std::mem::MaybeUninit;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: &'a State,
}

pub(crate) fn send_listener(target: &ListenerTarget, pid: u32, notifier: &OwnedFd) -> Result<(), Error> {
    let path = &target.listener.path;
    let message = serde_json::to_vec(&ContainerProcessState {
        oci_version: &target.state.oci_version,
        fds: ["seccompFd"],
        pid,
        metadata: target.listener.metadata.as_deref(),
        state: &target.state,
    })
    .unwrap_or_default();
    let send = || -> Result<(), rustix::io::Errno> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &SocketAddrUnix::new(path.as_path())?)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [notifier.as_fd()];
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(rustix::io::Errno::NOBUFS);
        }
        sendmsg(&socket, &[IoSlice::new(&message)], &mut ancillary, SendFlags::NOSIGNAL).map(drop)
    };
    Ok(send().call("sendmsg", || format!("seccomp listener {}", path.display()))?)
}
