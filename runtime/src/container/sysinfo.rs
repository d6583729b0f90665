//! A container's answers to its own `sysinfo` calls: who gives them, and what its processes load so that they are asked for.

use super::create::duplicate;
use super::proc_view::ViewOutcome;
use crate::error::{CallContext, Error};
use crate::plan::SysinfoPlan;
use crate::proc_view::figures::Rounding;
use crate::proc_view::{ContainerTexts, Epoch, Origin};
use crate::runtime::Runtime;
use crate::seccomp::Filter;
use crate::sysinfo::Attendant;
use ballast_cgroups::Cgroup;
use std::sync::Arc;

/// What every process of the container needs for it.
#[derive(Debug, Clone)]
pub(crate) struct Sysinfo {
    /// To be loaded before the container's own profile.
    pub(crate) filter: Filter,
    /// Gets the listener of the filter.
    pub(crate) attendant: Arc<Attendant<ContainerTexts>>,
}

/// What became of the plan.
#[derive(Debug)]
pub(super) enum SysinfoOutcome {
    /// Ballast answers.
    Made(Sysinfo),
    /// The kernel does, as it should.
    NotNeeded,
    /// The kernel does, though the node's policy says otherwise.
    Failed(Error),
}

/// Makes what is planned, now that it is known whether there is a view.
///
/// # Errors
/// When it was asked for and cannot be had.
pub(super) fn make_sysinfo(
    plan: SysinfoPlan,
    view: &ViewOutcome,
    rounding: Rounding,
    cgroup: &Cgroup,
    runtime: &Runtime,
) -> Result<SysinfoOutcome, Error> {
    let texts = match view {
        ViewOutcome::Made(view) => Some(view.served.texts().clone()),
        ViewOutcome::NotNeeded | ViewOutcome::Failed(_) => None,
    };
    match (plan, texts) {
        (SysinfoPlan::Off, _) | (SysinfoPlan::WithView | SysinfoPlan::Prevented(_), None) => {
            Ok(SysinfoOutcome::NotNeeded)
        }
        (SysinfoPlan::Prevented(reason), Some(_)) => Ok(SysinfoOutcome::Failed(reason.into())),
        (SysinfoPlan::WithView, Some(texts)) => {
            Ok(serve(texts, runtime).map_or_else(SysinfoOutcome::Failed, SysinfoOutcome::Made))
        }
        (SysinfoPlan::Asked, Some(texts)) => serve(texts, runtime).map(SysinfoOutcome::Made),
        (SysinfoPlan::Asked, None) => {
            let origin = Origin::now(cgroup.lineage()?, rounding, Epoch::default());
            serve(ContainerTexts::new(origin), runtime).map(SysinfoOutcome::Made)
        }
    }
}

fn serve(texts: ContainerTexts, runtime: &Runtime) -> Result<Sysinfo, Error> {
    let filter = runtime.sysinfo_filter()?;
    let procfs = duplicate(runtime.procfs().call("open", || "/proc".into())?)?;
    Ok(Sysinfo { filter, attendant: Arc::new(Attendant::new(texts, procfs)?) })
}
