//! A container's CPUs, as many as its quota is worth: chosen when it is made and on every update.

use super::memory_qos::levels_lock;
use crate::error::{CallContext, Error};
use crate::proc_view::figures::{CpuQuota, CpuShare, Rounding};
use crate::record::Record;
use ballast_cgroups::{Cgroup, CgroupPath, CpuList, CpuTopology};
use oci_spec::runtime::LinuxResources;
use rustix::io::Errno;
use std::sync::{Mutex, PoisonError};

/// A container that is narrowed.
#[derive(Debug)]
pub(super) struct NarrowedCpus {
    rounding: Rounding,
    /// The CPUs that whoever made it gave it, if they did; those are chosen from.
    given: Mutex<Option<CpuList>>,
}

impl NarrowedCpus {
    pub(super) fn new(rounding: Rounding, resources: Option<&LinuxResources>) -> Self {
        Self { rounding, given: Mutex::new(resources.and_then(given)) }
    }

    /// To be called when the limits are applied.
    ///
    /// # Errors
    /// That there is no cpuset controller, above all.
    pub(super) fn establish(&self, cgroup: &Cgroup) -> Result<(), Error> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let quotas = quotas(cgroup)?;
        let count = |available| CpuShare::new(available, quotas, self.rounding).count;
        let topology = CpuTopology::of_machine();
        cgroup.narrow(count, given.as_ref(), &others()?, &topology, &levels_lock()?)?;
        Ok(())
    }

    /// To be called when limits were changed.
    ///
    /// # Errors
    /// As [`Self::establish`].
    pub(super) fn update(&self, cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
        if let Some(given) = given(resources) {
            *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some(given);
        }
        self.establish(cgroup)
    }
}

/// The CPUs that resources name, `unified` last as everywhere.
fn given(resources: &LinuxResources) -> Option<CpuList> {
    let unified = resources.unified().as_ref().and_then(|unified| unified.get("cpuset.cpus"));
    let plain = resources.cpu().as_ref().and_then(|cpu| cpu.cpus().as_ref());
    unified.or(plain).and_then(|list| CpuList::parse(list))
}

/// `cpu.max` of the cgroup and of those above it.
fn quotas(cgroup: &Cgroup) -> Result<Vec<CpuQuota>, Error> {
    let mut content = Vec::new();
    let mut quotas = Vec::new();
    for level in cgroup.lineage()? {
        if let Some(file) = level.file("cpu.max")? {
            quotas.extend(CpuQuota::parse(file.read(&mut content)?));
        }
    }
    Ok(quotas)
}

/// Where all containers of the node are that Ballast made.
fn others() -> Result<Vec<CgroupPath>, Error> {
    let records = Record::all()
        .map_err(|error| Errno::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EIO)))
        .call("readdir", || crate::record::STATE_DIRECTORY.into())?;
    let paths = records.iter().filter_map(|record| record.cgroup().ok()?);
    Ok(paths.filter_map(|path| CgroupPath::parse(&path).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_of_the_specs_is_known_and_unified_says_the_last_word() {
        let given = |value| given(&serde_json::from_value(value).unwrap()).map(|cpus| cpus.to_string());
        assert_eq!(given(json!({})), None);
        assert_eq!(given(json!({"cpu": {"cpus": ""}})), None);
        assert_eq!(given(json!({"cpu": {"cpus": "0-2"}})).as_deref(), Some("0-2"));
        let both = json!({"cpu": {"cpus": "0-2"}, "unified": {"cpuset.cpus": "5,6"}});
        assert_eq!(given(both).as_deref(), Some("5-6"));
    }
}
