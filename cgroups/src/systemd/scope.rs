//! A container's cgroup as a transient scope: started, told new limits, and stopped.

use rustix::process::Pid;

use crate::cgroup::Cgroup;
use crate::error::{Error, Kind, Result};
use crate::hierarchy::Hierarchy;
use crate::limits::Limits;
use crate::path::CgroupPath;
use crate::systemd::SystemdError;
use crate::systemd::bus::{self, Bus};
use crate::systemd::property::{self, Property, UnitProperties, Value};

/// A unit that systemd runs.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    unit: String,
}

impl Hierarchy {
    /// Makes the cgroup of a new container as a scope of systemd, for a path that
    /// [systemd owns](CgroupPath::is_owned_by_systemd).
    ///
    /// `placeholder` is put into it; end it once a process of the container is there, and not before, because
    /// systemd removes a scope without processes. The limits are told to systemd; they still have to be
    /// [applied](Cgroup::apply), because systemd does not know all of them.
    ///
    /// For the same reason the cgroup, and with it its statistics, can vanish as soon as the container's last process
    /// ends. Keep a [`StatisticsReader`](crate::StatisticsReader) open and read it first thing on that exit.
    ///
    /// # Errors
    /// [`Error::Systemd`] when systemd refuses, fails or does not answer, and the errors of [`Self::create`].
    pub fn create_scope(
        &self,
        path: &CgroupPath,
        placeholder: Pid,
        limits: &Limits,
        properties: &UnitProperties,
    ) -> Result<Cgroup> {
        let scope = Scope::of(path)?;
        let unit = path.unit().map_or("", |unit| unit.slice.as_str());
        scope.start(unit, placeholder, property::of_limits(limits)?, properties)?;
        // systemd passes on those controllers that it knows.
        let cgroup = self.pass_controllers_to(path).and_then(|()| self.find(path));
        if cgroup.is_err() {
            // The first cause is what is reported.
            drop(scope.stop());
        }
        Ok(Cgroup { scope: Some(scope), ..cgroup? })
    }
}

impl Scope {
    pub(crate) fn of(path: &CgroupPath) -> Result<Self> {
        let unit = path.unit().map(|unit| unit.name.clone()).unwrap_or_default();
        if unit.ends_with(".scope") {
            Ok(Self { unit })
        } else {
            Err(Box::new(SystemdError::NotAScope { unit }).into())
        }
    }

    fn start(
        &self,
        slice: &str,
        placeholder: Pid,
        limits: Vec<Property>,
        extra: &UnitProperties,
    ) -> Result<()> {
        let properties = start_properties(&self.unit, slice, placeholder, limits, extra);
        bus::run("start", &self.unit, async {
            let bus = Bus::connect(&self.unit).await?;
            match bus.start(&properties).await {
                // Only a unit that failed can be forgotten; one that runs is in use.
                Err(error) if error.kind() == Kind::AlreadyExists => {
                    bus.reset_failed().await?;
                    bus.start(&properties).await
                }
                other => other,
            }
        })
        .map_err(|error| Box::new(error).into())
    }

    /// Tells systemd new limits.
    pub(crate) fn update(&self, limits: &Limits) -> Result<()> {
        tell_unit(&self.unit, limits)
    }

    /// Stops the unit; one that systemd has already removed is stopped.
    pub(crate) fn stop(&self) -> Result<()> {
        let stopped = bus::run("stop", &self.unit, async { Bus::connect(&self.unit).await?.stop().await });
        match stopped {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            other => other.map_err(|error| Error::from(Box::new(error))),
        }
    }
}

/// Tells systemd what a unit that runs is limited to; nothing when it does not manage any of that.
pub(crate) fn tell_unit(unit: &str, limits: &Limits) -> Result<()> {
    let properties = property::of_limits(limits)?;
    // What happens on OOM is fixed when a unit is started; the file is written all the same.
    let properties: Vec<Property> =
        properties.into_iter().filter(|property| property.name != "OOMPolicy").collect();
    if properties.is_empty() {
        return Ok(());
    }
    bus::run("update", unit, async { Bus::connect(unit).await?.set(&properties).await })
        .map_err(|error| Box::new(error).into())
}

fn start_properties(
    unit: &str,
    slice: &str,
    placeholder: Pid,
    limits: Vec<Property>,
    extra: &UnitProperties,
) -> Vec<Property> {
    let text = |text: &str| Value::Text(text.to_owned());
    let pid = placeholder.as_raw_nonzero().get().unsigned_abs();
    let mut properties = vec![
        Property::new("Description", Value::Text(format!("Ballast container {unit}"))),
        Property::new("Slice", text(slice)),
        // What is below the scope is the container's.
        Property::new("Delegate", Value::Bool(true)),
        Property::new("PIDs", Value::U32s(vec![pid])),
        // A container stops when its pod does, not in the first moments of a shutdown.
        Property::new("DefaultDependencies", Value::Bool(false)),
        // A failed scope would otherwise stay and keep its name.
        Property::new("CollectMode", text("inactive-or-failed")),
    ];
    // systemd enables the controllers of what it accounts.
    for accounting in ["CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"] {
        properties.push(Property::new(accounting, Value::Bool(true)));
    }
    properties.extend(extra.properties.iter().cloned());
    properties.extend(limits);
    properties
}
