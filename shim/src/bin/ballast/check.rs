//! `ballast check`: whether this node can run Ballast, and what it can do for containers here. Looks, and changes nothing.

mod report;
mod table;

use std::path::Path;

use ballast_cgroups::{Cgroup, CgroupPath, Hierarchy};
use ballast_runtime::Record;
use clap::Args;

use self::report::Report;
use crate::output::{OutputError, print};

/// What this node has.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("cgroups")]
    Cgroups(#[from] ballast_cgroups::Error),
    #[error("Ballast cannot run here: {}", .0.join("; "))]
    Unfit(Vec<String>),
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Carries the command out. A node that lacks what is needed is an error, after all of it was shown.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CheckError> {
    let hierarchy = Hierarchy::discover()?;
    let cgroup = looked_at(&hierarchy);
    let report = Report::of(&hierarchy, cgroup.as_ref())?;
    print(arguments.json, &report, || table::all(&report))?;
    match report.obstacles() {
        obstacles if obstacles.is_empty() => Ok(()),
        obstacles => Err(CheckError::Unfit(obstacles)),
    }
}

/// A cgroup to look at: a container's, else the one right below the root with the most controllers.
fn looked_at(hierarchy: &Hierarchy) -> Option<Cgroup> {
    let of_record = |record: &Record| find(hierarchy, &record.cgroup().ok()??);
    let container = Record::all().ok().and_then(|records| records.iter().find_map(of_record));
    container.or_else(|| most_controlled(hierarchy))
}

fn most_controlled(hierarchy: &Hierarchy) -> Option<Cgroup> {
    let children = std::fs::read_dir(hierarchy.mount_point()).ok()?.filter_map(Result::ok);
    let directories = children.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let cgroups = directories.filter_map(|entry| {
        let path = Path::new("/").join(entry.file_name());
        find(hierarchy, path.to_str()?)
    });
    cgroups.max_by_key(|cgroup| cgroup.controllers().map_or(0, |controllers| controllers.iter().count()))
}

fn find(hierarchy: &Hierarchy, path: &str) -> Option<Cgroup> {
    hierarchy.find(&CgroupPath::parse(path).ok()?).ok()
}
