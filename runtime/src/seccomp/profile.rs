//! An OCI profile, checked and read. Knows no syscall numbers and no programs.

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSyscall};

use super::Listener;
use super::action::Action;
use super::architecture::{Architecture, Machine};
use super::conditions::{Condition, alternatives};
use super::error::{Error, Subject};
use super::flags::Flags;

/// A profile of which nothing is left to refuse but its size and contradictions.
#[derive(Debug)]
pub(super) struct Profile<'a> {
    pub(super) default: Action,
    pub(super) entries: Vec<Entry<'a>>,
    /// Those the machine can run, without repetition, the native one first.
    pub(super) architectures: Vec<Architecture>,
    pub(super) flags: Flags,
    pub(super) notify: Option<Listener>,
}

/// What shall happen to some syscalls.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) names: &'a [String],
    pub(super) action: Action,
    /// The action is taken when every condition of one of these holds. An empty one always holds.
    pub(super) alternatives: Vec<Vec<Condition>>,
}

impl<'a> Profile<'a> {
    pub(super) fn new(oci: &'a LinuxSeccomp, machine: Machine) -> Result<Self, Error> {
        let default = Action::new(oci.default_action(), oci.default_errno_ret(), || Subject::Default)?;
        if default == Action::NOTIFY {
            return Err(Error::NotifyByDefault);
        }
        let syscalls = oci.syscalls().as_deref().unwrap_or_default();
        let entries = syscalls.iter().enumerate().map(|(position, oci)| entry(position, oci));
        let entries = entries.collect::<Result<Vec<_>, Error>>()?;
        let notify = listener(oci, syscalls)?;
        let flags = Flags::new(oci.flags().as_deref().unwrap_or_default(), notify.is_some())?;
        Ok(Self { default, entries, architectures: architectures(oci, machine), flags, notify })
    }
}

fn architectures(oci: &LinuxSeccomp, machine: Machine) -> Vec<Architecture> {
    let mut architectures = vec![machine.native()];
    for &name in oci.architectures().iter().flatten() {
        match machine.architecture(name) {
            Some(architecture) if !architectures.contains(&architecture) => architectures.push(architecture),
            // Repeated, or one whose syscalls this machine cannot make.
            _ => (),
        }
    }
    architectures
}

fn entry(position: usize, oci: &LinuxSyscall) -> Result<Entry<'_>, Error> {
    let Some(first) = oci.names().first() else { return Err(Error::NoNames { entry: position }) };
    if oci.names().iter().any(String::is_empty) {
        return Err(Error::EmptyName { entry: position });
    }
    let action = Action::new(oci.action(), oci.errno_ret(), || Subject::Syscall(first.clone()))?;
    if action == Action::NOTIFY && oci.names().iter().any(|name| name == "write") {
        return Err(Error::NotifyOnWrite);
    }
    let conditions = oci.args().iter().flatten().map(|oci| Condition::new(oci, first));
    let alternatives = alternatives(conditions.collect::<Result<Vec<_>, Error>>()?);
    Ok(Entry { names: oci.names(), action, alternatives })
}

/// The agent, when some rule notifies it.
fn listener(oci: &LinuxSeccomp, syscalls: &[LinuxSyscall]) -> Result<Option<Listener>, Error> {
    let path = oci.listener_path().as_ref().filter(|path| !path.as_os_str().is_empty());
    let metadata = oci.listener_metadata().as_ref().filter(|metadata| !metadata.is_empty());
    if path.is_none() && metadata.is_some() {
        return Err(Error::ListenerMetadataAlone);
    }
    let notifying = syscalls.iter().find(|syscall| syscall.action() == LinuxSeccompAction::ScmpActNotify);
    match (notifying, path) {
        (None, _) => Ok(None),
        (Some(_), Some(path)) => Ok(Some(Listener { path: path.clone(), metadata: metadata.cloned() })),
        (Some(syscall), None) => {
            Err(Error::ListenerPathMissing { syscall: syscall.names().first().cloned().unwrap_or_default() })
        }
    }
}
