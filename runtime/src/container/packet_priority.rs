//! The program on a container's cgroup that gives its packets their priority, for as long as one is asked for.

use crate::error::{CallContext, Error};
use crate::sys::{self, CgroupProgram};
use ballast_cgroups::Cgroup;
use ballast_cgroups::priority::{Level, packet_program};
use rustix::fd::{AsFd, OwnedFd};

/// What is attached.
#[derive(Debug, Default)]
pub(super) struct PacketPriority(Option<(Level, OwnedFd)>);

impl PacketPriority {
    /// Attaches the program for `level` in place of what was there; `None` leaves nothing.
    ///
    /// # Errors
    /// When the kernel refuses; what was there stays then.
    pub(super) fn set(&mut self, cgroup: &Cgroup, level: Option<Level>) -> Result<(), Error> {
        if self.0.as_ref().map(|(level, _)| *level) == level {
            return Ok(());
        }
        let next = level.map(|level| attach(cgroup, level).map(|program| (level, program))).transpose()?;
        // Only now, so that no packet goes without.
        if let Some((level, before)) = std::mem::replace(&mut self.0, next) {
            sys::detach_program(cgroup.as_fd(), CgroupProgram::Egress, before.as_fd())
                .call("bpf", || format!("detach the program for packets of level {level}"))?;
        }
        Ok(())
    }
}

fn attach(cgroup: &Cgroup, level: Level) -> Result<OwnedFd, Error> {
    let instructions: Vec<_> =
        packet_program(level).into_iter().map(|i| u64::from_ne_bytes(i.to_bytes())).collect();
    let program = sys::load_program(CgroupProgram::Egress, &instructions)
        .and_then(|program| {
            sys::attach_program(cgroup.as_fd(), CgroupProgram::Egress, program.as_fd()).map(|()| program)
        })
        .call("bpf", || format!("program for packets of level {level}"))?;
    Ok(program)
}
