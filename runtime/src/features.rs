//! What this runtime can do, as the OCI runtime specification's `features` document says it.
//!
//! containerd reads it by `-info`: recursive read-only mounts and user namespaces are offered to pods only when they are
//! claimed here, so a claim belongs in the same change as the code that keeps it. Must not know who asks.

use crate::plan::KNOWN_MOUNT_OPTIONS;
use oci_spec::runtime::{
    Apparmor, Arch, Cgroup, Features, IDMap, LinuxFeature, LinuxNamespaceType, LinuxSeccompAction,
    MountExtensions, Seccomp, Selinux,
};

const OCI_VERSION_MIN: &str = "1.0.0";
const OCI_VERSION_MAX: &str = "1.3.0";

const HOOKS: &str = "\
    prestart createRuntime createContainer startContainer poststart poststop";

const NAMESPACES: [LinuxNamespaceType; 8] = [
    LinuxNamespaceType::Cgroup,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Network,
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Time,
    LinuxNamespaceType::User,
    LinuxNamespaceType::Uts,
];

const CAPABILITIES: &str = "\
    CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_AUDIT_WRITE CAP_BLOCK_SUSPEND CAP_BPF CAP_CHECKPOINT_RESTORE \
    CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_IPC_LOCK CAP_IPC_OWNER CAP_KILL \
    CAP_LEASE CAP_LINUX_IMMUTABLE CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_MKNOD CAP_NET_ADMIN \
    CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_RAW CAP_PERFMON CAP_SETFCAP CAP_SETGID CAP_SETPCAP \
    CAP_SETUID CAP_SYSLOG CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_CHROOT CAP_SYS_MODULE CAP_SYS_NICE \
    CAP_SYS_PACCT CAP_SYS_PTRACE CAP_SYS_RAWIO CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG \
    CAP_WAKE_ALARM";

const SECCOMP_ACTIONS: [LinuxSeccompAction; 9] = [
    LinuxSeccompAction::ScmpActAllow,
    LinuxSeccompAction::ScmpActErrno,
    LinuxSeccompAction::ScmpActKill,
    LinuxSeccompAction::ScmpActKillProcess,
    LinuxSeccompAction::ScmpActKillThread,
    LinuxSeccompAction::ScmpActLog,
    LinuxSeccompAction::ScmpActNotify,
    LinuxSeccompAction::ScmpActTrace,
    LinuxSeccompAction::ScmpActTrap,
];

const SECCOMP_OPERATORS: &str = "\
    SCMP_CMP_EQ SCMP_CMP_GE SCMP_CMP_GT SCMP_CMP_LE SCMP_CMP_LT SCMP_CMP_MASKED_EQ SCMP_CMP_NE";

#[cfg(target_arch = "x86_64")]
const SECCOMP_ARCHITECTURES: [Arch; 3] = [Arch::ScmpArchX86, Arch::ScmpArchX86_64, Arch::ScmpArchX32];
#[cfg(target_arch = "aarch64")]
const SECCOMP_ARCHITECTURES: [Arch; 2] = [Arch::ScmpArchAarch64, Arch::ScmpArchArm];

const SECCOMP_FLAGS: &str = "\
    SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW SECCOMP_FILTER_FLAG_TSYNC \
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";

/// The document. The same on every node: it tells what this build can do, not what a kernel allows.
#[must_use]
pub fn features() -> Features {
    let mut linux = LinuxFeature::default();
    linux
        .set_namespaces(Some(NAMESPACES.to_vec()))
        .set_capabilities(Some(texts(CAPABILITIES)))
        .set_cgroup(Some(cgroup()))
        .set_seccomp(Some(seccomp()))
        .set_apparmor(Some(apparmor()))
        .set_selinux(Some(selinux()))
        .set_mount_extensions(Some(mount_extensions()));
    let mut features = Features::default();
    features
        .set_oci_version_min(OCI_VERSION_MIN.to_owned())
        .set_oci_version_max(OCI_VERSION_MAX.to_owned())
        .set_hooks(Some(texts(HOOKS)))
        .set_mount_options(Some(KNOWN_MOUNT_OPTIONS.iter().copied().map(str::to_owned).collect()))
        .set_linux(Some(linux));
    features
}

fn cgroup() -> Cgroup {
    let mut cgroup = Cgroup::default();
    cgroup
        .set_v1(Some(false))
        .set_v2(Some(true))
        .set_systemd(Some(true))
        .set_systemd_user(Some(false))
        .set_rdma(Some(true));
    cgroup
}

fn seccomp() -> Seccomp {
    let mut seccomp = Seccomp::default();
    seccomp
        .set_enabled(Some(true))
        .set_actions(Some(SECCOMP_ACTIONS.to_vec()))
        .set_operators(Some(texts(SECCOMP_OPERATORS)))
        .set_archs(Some(SECCOMP_ARCHITECTURES.to_vec()))
        .set_known_flags(Some(texts(SECCOMP_FLAGS)))
        .set_supported_flags(Some(texts(SECCOMP_FLAGS)));
    seccomp
}

fn apparmor() -> Apparmor {
    let mut apparmor = Apparmor::default();
    apparmor.set_enabled(Some(true));
    apparmor
}

fn selinux() -> Selinux {
    let mut selinux = Selinux::default();
    selinux.set_enabled(Some(true));
    selinux
}

fn mount_extensions() -> MountExtensions {
    let mut idmap = IDMap::default();
    idmap.set_enabled(Some(true));
    let mut extensions = MountExtensions::default();
    extensions.set_idmap(Some(idmap));
    extensions
}

fn texts(names: &str) -> Vec<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_each_name_once() {
        for (list, length) in [(HOOKS, 6), (CAPABILITIES, 41), (SECCOMP_OPERATORS, 7), (SECCOMP_FLAGS, 4)] {
            let mut names = texts(list);
            names.sort();
            names.dedup();
            assert_eq!(names.len(), length, "{list}");
        }
    }
}
