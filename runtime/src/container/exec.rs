//! Exec: one more process in a container that runs.

use super::Container;
use super::process_defaults::with_console_size;
use crate::error::Error;
use crate::plan::plan_process;
use crate::plan::wire::{ExecPlan, Plan};
use crate::process::{Process, ProcessIo};
use crate::spawn::Descriptors;
use rustix::fd::AsFd;

impl Container {
    /// Spawns a process in the container, on its way to its `execve`: what keeps it from there is [`Process::start`]'s error.
    ///
    /// # Errors
    /// What is wrong with `process`, or why it could not be cloned; nothing of the process is left then.
    pub fn exec(&self, process: &oci_spec::runtime::Process, io: ProcessIo) -> Result<Process, Error> {
        let mut descriptors = Descriptors::default();
        let user = (process.user().uid(), process.user().gid());
        let stdio =
            with_console_size(io, process).plan(user, self.process_defaults.maps(), &mut descriptors)?;
        let mut process_plan = plan_process(process, self.process_defaults.surroundings(), stdio)?;
        process_plan.scheduling = self.standing.priority.scheduling(Some(self.state.pid));
        let target = descriptors.lend(self.init.as_fd());
        let plan = Plan::Exec(Box::new(ExecPlan {
            target,
            namespaces: self.namespaces.joined_by_exec,
            pid_namespace: self.namespaces.other_pid.then_some(target),
            oom_score_adjustment: self.standing.priority.oom_score_of_exec(process.oom_score_adj()),
            process: process_plan,
        }));
        // A container that makes cgroups and gives them controllers has left its own, as systemd does; so must this process.
        let beside_init = || Ok(Some(self.cgroup.of_process(self.state.pid)?));
        let spawner = self.runtime.spawner();
        let spawned = spawner.spawn_elsewhere_if_busy(plan, descriptors, self.cgroup.as_fd(), beside_init)?;
        Ok(Process::under_way(spawned, self.process_defaults.listeners(&self.state)))
    }
}
