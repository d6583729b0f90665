//! `linux.sysctl`: only what belongs to a namespace that the container does not share with the host.

use super::{Namespaces, PlanError, c_string, wire::Sysctl};
use oci_spec::runtime::{LinuxNamespaceType, Spec};

const IPC: [&str; 9] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.msg_next_id",
];

/// Checks each name and turns it into a path below `/proc/sys`, in the order of the names.
pub(crate) fn plan_sysctls(spec: &Spec, namespaces: &Namespaces<'_>) -> Result<Vec<Sysctl>, PlanError> {
    let mut sysctls = Vec::new();
    for (name, value) in spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref()).into_iter().flatten()
    {
        // `net/ipv4/conf/eth0.1/x` is written with slashes when a component has a dot.
        let slash_form = name.find(['.', '/']).is_some_and(|at| name.as_bytes()[at] == b'/');
        let path = if slash_form { name.clone() } else { swap_separators(name) };
        let dotted = path.replace('/', ".");
        let field = format!("linux.sysctl[{name}]");
        if path.split('/').any(|component| matches!(component, "" | "." | "..")) {
            return Err(PlanError::invalid("linux.sysctl", name, "is no sysctl name"));
        }
        let owner = owner_of(&dotted).ok_or_else(|| {
            PlanError::invalid(&field, value, "belongs to no namespace and would change the host")
        })?;
        if !namespaces.has_own(owner) {
            return Err(PlanError::invalid(
                &field,
                value,
                "would change the host, whose namespace the container shares",
            ));
        }
        if dotted == "kernel.hostname" {
            return Err(PlanError::invalid(&field, value, "is set by the field hostname"));
        }
        sysctls.push(Sysctl { path: c_string(&field, path)?, value: value.clone() });
    }
    sysctls.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sysctls)
}

/// In the dotted form a slash stands for a dot, as `sysctl(8)` has it: `net.ipv4.conf.eth0/100.forwarding`.
fn swap_separators(name: &str) -> String {
    let swap = |character| match character {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(swap).collect()
}

fn owner_of(dotted: &str) -> Option<LinuxNamespaceType> {
    if dotted.starts_with("net.") {
        Some(LinuxNamespaceType::Network)
    } else if dotted.starts_with("fs.mqueue.") || IPC.contains(&dotted) {
        Some(LinuxNamespaceType::Ipc)
    } else if dotted == "kernel.domainname" || dotted == "kernel.hostname" {
        Some(LinuxNamespaceType::Uts)
    } else if dotted.starts_with("user.") {
        Some(LinuxNamespaceType::User)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan_namespaces;
    use super::*;

    fn plan(sysctls: &str) -> Result<Vec<Sysctl>, PlanError> {
        let spec: Spec = serde_json::from_str(&format!(
            r#"{{"ociVersion":"1.2.0","linux":{{"namespaces":[{{"type":"mount"}},{{"type":"network"}}],"sysctl":{sysctls}}}}}"#
        ))
        .unwrap();
        plan_sysctls(&spec, &plan_namespaces(&spec).unwrap())
    }

    #[test]
    fn a_sysctl_of_a_namespace_of_the_container_becomes_a_path() {
        let sysctls = plan(r#"{"net.ipv4.ip_forward":"1"}"#).unwrap();
        assert_eq!(sysctls[0].path.to_str().unwrap(), "net/ipv4/ip_forward");
    }

    #[test]
    fn a_component_with_a_dot_is_written_with_slashes() {
        let sysctls = plan(r#"{"net/ipv4/conf/eth0.100/forwarding":"1"}"#).unwrap();
        assert_eq!(sysctls[0].path.to_str().unwrap(), "net/ipv4/conf/eth0.100/forwarding");
    }

    #[test]
    fn a_sysctl_that_would_change_the_host_is_refused_by_name() {
        for (sysctl, reason) in [
            (r#"{"vm.swappiness":"1"}"#, "belongs to no namespace"),
            (r#"{"kernel.shmmax":"1"}"#, "whose namespace the container shares"),
            (r#"{"net/../vm/swappiness":"1"}"#, "is no sysctl name"),
        ] {
            assert!(plan(sysctl).unwrap_err().to_string().contains(reason), "{sysctl}");
        }
    }
}
