//! What all processes of one container have in common, the first and those of execs.

use super::Sysinfo;
use crate::hooks::State;
use crate::plan::{IdMaps, Surroundings};
use crate::process::{ListenerTarget, Listeners, ProcessIo};
use crate::seccomp::Filter;
use oci_spec::runtime::{LinuxIdMapping, LinuxPersonality};

/// What every process of the container has, whoever starts it.
#[derive(Debug)]
pub(super) struct ProcessDefaults {
    pub(super) sysinfo: Option<Sysinfo>,
    pub(super) seccomp: Option<Filter>,
    pub(super) session_keyring: Option<String>,
    pub(super) personality: Option<LinuxPersonality>,
    pub(super) uid_mappings: Vec<LinuxIdMapping>,
    pub(super) gid_mappings: Vec<LinuxIdMapping>,
}

impl ProcessDefaults {
    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            sysinfo: self.sysinfo.as_ref().map(|sysinfo| sysinfo.filter.clone()),
            seccomp: self.seccomp.clone(),
            session_keyring: self.session_keyring.clone(),
            personality: self.personality.as_ref(),
        }
    }

    pub(super) fn maps(&self) -> Option<IdMaps<'_>> {
        (!self.uid_mappings.is_empty())
            .then_some(IdMaps { uids: &self.uid_mappings, gids: &self.gid_mappings })
    }

    pub(super) fn listeners(&self, state: &State) -> Listeners {
        let agent = self.seccomp.as_ref().and_then(|profile| profile.notify.clone());
        Listeners {
            agent: agent.map(|listener| ListenerTarget { listener, state: state.clone() }),
            sysinfo: self.sysinfo.clone(),
        }
    }
}

/// The terminal's size, when the spec knows one and the request does not.
pub(super) fn with_console_size(io: ProcessIo, process: &oci_spec::runtime::Process) -> ProcessIo {
    match (io, process.console_size()) {
        (ProcessIo::Terminal { size: None }, Some(size)) => {
            let cells = |count: u64| u16::try_from(count).unwrap_or(u16::MAX);
            ProcessIo::Terminal { size: Some((cells(size.height()), cells(size.width()))) }
        }
        (io, _) => io,
    }
}
