//! What is told about a container, in the form that programs read. Fields are only ever added.

use std::path::PathBuf;

use ballast_cgroups::memory_qos::{Gap, Knob, ObservedMemoryQos};
use ballast_cgroups::priority::ObservedPriority;
use serde::Serialize;

use super::{QosError, container::Container};
use crate::amount::Amount;

/// One container.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) id: String,
    /// containerd's.
    pub(super) namespace: String,
    pub(super) pod_namespace: String,
    pub(super) pod: String,
    /// Empty for the sandbox.
    pub(super) container: String,
    pub(super) cgroup: PathBuf,
    /// `null` when kubelet alone decided.
    pub(super) policy: Option<String>,
    pub(super) qos_class: Option<String>,
    pub(super) request: Option<Request>,
    pub(super) memory_max: Amount,
    pub(super) memory_current: Amount,
    pub(super) settings: Vec<Setting>,
    pub(super) withheld: Vec<Withheld>,
    pub(super) ancestors: Vec<Ancestor>,
    pub(super) gaps: Vec<MissingProtection>,
    pub(super) events: Events,
    /// `null` without PSI.
    pub(super) stalled: Option<Stalled>,
    /// What was asked for beyond limits, and what became of it; `null` when nobody asked for anything.
    pub(super) priority: Option<ObservedPriority>,
}

#[derive(Debug, Serialize)]
pub(super) struct Request {
    pub(super) bytes: u64,
    /// How much more an estimated request can have been.
    pub(super) slack_bytes: u64,
    pub(super) source: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Setting {
    pub(super) file: &'static str,
    pub(super) value: Amount,
    /// `kubelet`, `annotation`, `policy`, or `null` for the kernel's neutral value.
    pub(super) source: Option<String>,
    /// What was decided, when somebody has written something else since.
    pub(super) decided: Option<Amount>,
}

/// A wish that is not carried out because the policy is off.
#[derive(Debug, Serialize)]
pub(super) struct Withheld {
    pub(super) file: &'static str,
    pub(super) source: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Ancestor {
    pub(super) cgroup: PathBuf,
    pub(super) memory_min: Amount,
    pub(super) memory_low: Amount,
    /// Whether Ballast keeps these in line with the cgroups below.
    pub(super) kept: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct MissingProtection {
    pub(super) file: &'static str,
    pub(super) cgroup: PathBuf,
    pub(super) given: Amount,
    pub(super) asked: Amount,
    #[serde(skip)]
    pub(super) text: String,
}

/// `memory.events`
#[derive(Debug, Serialize)]
pub(super) struct Events {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) max: u64,
    pub(super) oom: u64,
    pub(super) oom_kill: u64,
    pub(super) oom_group_kill: u64,
}

/// `memory.pressure`, in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Stalled {
    pub(super) some_usec: u64,
    pub(super) full_usec: u64,
}

/// What was put back in a container.
#[derive(Debug, Serialize)]
pub(super) struct Reset {
    pub(super) id: String,
    pub(super) pod: String,
    pub(super) container: String,
    pub(super) files: Vec<&'static str>,
}

impl Report {
    /// `None` when the container is gone by now.
    pub(super) fn of(container: &Container) -> Result<Option<Self>, QosError> {
        let observed = container.cgroup.observe_memory_qos();
        match observed.and_then(|observed| Ok((observed, container.cgroup.observe_priority()?))) {
            Ok((observed, priority)) => Ok(Some(Self::from_observed(container, observed, priority))),
            Err(error) if error.kind() == ballast_cgroups::Kind::NotFound => Ok(None),
            Err(source) => Err(QosError::Container { id: container.id.clone(), source }),
        }
    }

    fn from_observed(
        container: &Container,
        observed: ObservedMemoryQos,
        priority: Option<ObservedPriority>,
    ) -> Self {
        let events = observed.events;
        Self {
            id: container.id.clone(),
            namespace: container.namespace.clone(),
            pod_namespace: container.names.pod_namespace.clone(),
            pod: container.names.pod.clone(),
            container: container.names.container.clone(),
            cgroup: container.cgroup.directory_path().to_owned(),
            policy: observed.policy.map(|policy| policy.to_string()),
            qos_class: observed.class.map(|class| class.to_string()),
            request: observed.request.map(|(bytes, slack_bytes, source)| Request {
                bytes,
                slack_bytes,
                source: source.to_string(),
            }),
            memory_max: Amount(observed.max),
            memory_current: Amount(observed.current),
            settings: observed
                .values
                .into_iter()
                .map(|value| Setting {
                    file: value.knob.file(),
                    value: Amount(value.value),
                    source: value.source.map(|source| source.to_string()),
                    decided: value.decided.map(Amount),
                })
                .collect(),
            withheld: observed
                .withheld
                .into_iter()
                .map(|(knob, source)| Withheld { file: knob.file(), source: source.to_string() })
                .collect(),
            ancestors: observed
                .ancestors
                .into_iter()
                .map(|level| Ancestor {
                    cgroup: level.directory,
                    memory_min: Amount(level.min),
                    memory_low: Amount(level.low),
                    kept: level.kept,
                })
                .collect(),
            gaps: observed.gaps.into_iter().map(MissingProtection::from).collect(),
            events: Events {
                low: events.low,
                high: events.high,
                max: events.max,
                oom: events.oom,
                oom_kill: events.oom_kill,
                oom_group_kill: events.oom_group_kill,
            },
            stalled: observed.pressure.map(|pressure| Stalled {
                some_usec: pressure.some.total_usec,
                full_usec: pressure.full.total_usec,
            }),
            priority,
        }
    }

    pub(super) fn setting(&self, knob: Knob) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.file == knob.file())
    }
}

impl From<Gap> for MissingProtection {
    fn from(gap: Gap) -> Self {
        Self {
            file: gap.knob.file(),
            text: gap.to_string(),
            cgroup: gap.ancestor,
            given: Amount(gap.given),
            asked: Amount(gap.asked),
        }
    }
}

impl Reset {
    pub(super) fn new(container: &Container, knobs: &[Knob]) -> Self {
        Self {
            id: container.id.clone(),
            pod: container.names.pod.clone(),
            container: container.names.container.clone(),
            files: knobs.iter().map(|knob| knob.file()).collect(),
        }
    }
}
