//! The program on a container's cgroup that gives its packets their priority and mark, for as long as they are asked for.

use crate::error::{CallContext, Error};
use crate::sys::{self, CgroupProgram};
use ballast_cgroups::Cgroup;
use ballast_cgroups::priority::{PacketTreatment, packet_program};
use rustix::fd::{AsFd, OwnedFd};

/// What is attached.
#[derive(Debug, Default)]
pub(super) struct PacketPriority(Option<(PacketTreatment, OwnedFd)>);

impl PacketPriority {
    /// Attaches the program for `treatment` in place of what was there; the one that leaves packets as they are is none.
    ///
    /// # Errors
    /// When the kernel refuses; what was there stays then.
    pub(super) fn set(&mut self, cgroup: &Cgroup, treatment: PacketTreatment) -> Result<(), Error> {
        if self.0.as_ref().map(|(before, _)| *before).unwrap_or_default() == treatment {
            return Ok(());
        }
        let wanted = (treatment != PacketTreatment::default()).then_some(treatment);
        let next = wanted.map(|treatment| attach(cgroup, &treatment).map(|program| (treatment, program)));
        // Only now, so that no packet goes without.
        if let Some((before, program)) = std::mem::replace(&mut self.0, next.transpose()?) {
            sys::detach_program(cgroup.as_fd(), CgroupProgram::Egress, program.as_fd())
                .call("bpf", || format!("detach the program for {}", name(&before)))?;
        }
        Ok(())
    }
}

fn attach(cgroup: &Cgroup, treatment: &PacketTreatment) -> Result<OwnedFd, Error> {
    let instructions: Vec<_> =
        packet_program(treatment).into_iter().map(|i| u64::from_ne_bytes(i.to_bytes())).collect();
    let program = sys::load_program(CgroupProgram::Egress, &instructions)
        .and_then(|program| {
            sys::attach_program(cgroup.as_fd(), CgroupProgram::Egress, program.as_fd()).map(|()| program)
        })
        .call("bpf", || format!("program for {}", name(treatment)))?;
    Ok(program)
}

fn name(treatment: &PacketTreatment) -> String {
    let level = treatment.priority.map(|level| format!(" of level {level}")).unwrap_or_default();
    let mark = treatment.mark.map(|mark| format!(" with mark {mark}")).unwrap_or_default();
    format!("packets{level}{mark}")
}
