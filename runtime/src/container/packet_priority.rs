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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::attached_programs;
    use ballast_cgroups::priority::{Level, PacketMark};
    use ballast_cgroups::{CgroupPath, Hierarchy};
    use std::time::{Duration, Instant};

    #[test]
    fn one_program_at_most_is_attached_and_none_when_nothing_is_asked_for() {
        let path = CgroupPath::parse(&format!("/ballast-packets-{}", std::process::id())).unwrap();
        let cgroup = Hierarchy::discover().unwrap().create(&path).expect("needs root");
        let mut packets = PacketPriority::default();
        let mark = Some(PacketMark { value: 0x80, mask: 0xf0 });
        let counts: Vec<u32> = [
            (Some(Level::OFFLINE), None),
            (Some(Level::OFFLINE), mark),
            (None, mark),
            (Some(Level::ONLINE), None),
            (None, None),
        ]
        .into_iter()
        .map(|(priority, mark)| {
            packets.set(&cgroup, PacketTreatment { priority, mark }).unwrap();
            attached_programs(cgroup.as_fd(), CgroupProgram::Egress).unwrap()
        })
        .collect();
        cgroup.delete(Instant::now() + Duration::from_secs(10)).unwrap();
        assert_eq!(counts, [1, 1, 1, 1, 0]);
    }
}
