//! Which values a container gets, and from whom: kubelet before annotation before policy, for each file on its own.
//! Pure: nothing is read or written, so that a wish that cannot be met is refused before anything exists.

use super::amount::Amount;
use super::class::{PodPlace, QosClass};
use super::estimate;
use super::formula::throttling_begins;
use super::node::{NodeFacts, SAFE_THROTTLING};
use super::notice::Notice;
use super::policy::{Mode, Policy, Reach};
use super::setting::{Knob, RequestSource, Setting, Source};
use crate::error::{Error, Result};
use crate::limits::{Limit, Limits, UnifiedFile, parse_size};
use crate::priority::Level;

/// What one annotation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The annotation's name and value, to be named in a refusal.
    pub annotation: (String, String),
    /// What the value means.
    pub amount: Amount,
}

/// What a container's annotations ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The memory request, which kubelet does not tell.
    pub request: Option<Wish>,
    /// `memory.min`
    pub min: Option<Wish>,
    /// `memory.low`
    pub low: Option<Wish>,
    /// `memory.high`
    pub high: Option<Wish>,
    /// `memory.swap.max`
    pub swap_max: Option<Wish>,
    /// `memory.oom.group`
    pub oom_group: Option<bool>,
}

/// Everything but the limits that a container's memory QoS is decided by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryQos {
    /// The node's policy.
    pub policy: Policy,
    /// What the container asks for.
    pub wishes: Wishes,
    /// Where it is, when kubelet laid its place out.
    pub place: Option<PodPlace>,
    /// `process.oomScoreAdj`
    pub oom_score_adj: Option<i32>,
    /// The container's priority, which speaks after annotations and before the policy.
    pub priority: Option<Level>,
}

/// The memory request that values were derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Bytes; of an estimate, the least that it can have been.
    pub(super) bytes: u64,
    /// How much more an estimated request can have been, in bytes.
    pub(super) slack: u64,
    pub(super) source: RequestSource,
}

/// The values that a container gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub(super) mode: Mode,
    pub(super) class: Option<QosClass>,
    pub(super) request: Option<Request>,
    pub(super) settings: Vec<Setting>,
    /// What was asked for and is not set, because the policy is off.
    pub(super) withheld: Vec<(Knob, Source)>,
    pub(super) notices: Vec<Notice>,
}

impl MemoryQos {
    /// Whether it comes down to what kubelet sent: nothing is to be decided then.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let is_between = !matches!(self.priority, Some(Level::ONLINE | Level::OFFLINE));
        self.policy.mode == Mode::Kubelet && self.wishes == Wishes::default() && is_between
    }

    /// Decides, and puts the outcome into `limits`. `before` is the decision that this one replaces, and `current_max` the
    /// memory limit in force, for limits that set none.
    ///
    /// # Errors
    /// [`Error::Annotation`] when a wish cannot be met, [`Error::UnsafeThrottling`] when the policy would throttle and the
    /// kernel cannot do that well.
    pub fn decide(
        &self,
        node: &NodeFacts,
        limits: &mut Limits,
        before: &Decision,
        current_max: Option<u64>,
    ) -> Result<Decision> {
        let context = Context { qos: self, node, limit: limit_of(limits).unwrap_or(current_max) };
        let mut decision = Decision {
            mode: self.policy.mode,
            class: self.place.as_ref().map(PodPlace::class),
            request: context.request()?,
            ..Decision::default()
        };
        for knob in Knob::ALL {
            let sent = sent(limits, knob).or_else(|| before.sent_by_kubelet(knob));
            let chosen = match (sent, context.wish(knob)?) {
                (Some(Sent { in_unified: true, value }), _) => Some((value, Source::Kubelet)),
                (_, Some(value)) => Some((Some(value), Source::Annotation)),
                (Some(Sent { value, .. }), None) => Some((value, Source::Kubelet)),
                (None, None) => {
                    let derived = context.derive(knob, decision.request)?;
                    derived.map(|(value, source)| (Some(value), source))
                }
            };
            decision.choose(limits, knob, chosen, before);
        }
        decision.warn_of_old_kernel(node);
        Ok(decision)
    }
}

impl Decision {
    /// What a person should hear about it.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    pub(super) fn setting(&self, knob: Knob) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.knob == knob)
    }

    /// Whether it has Ballast carry protections to the cgroups above.
    #[must_use]
    pub fn protects(&self) -> bool {
        let own = |setting: &Setting| {
            matches!(setting.knob, Knob::Min | Knob::Low)
                && setting.value > Limit::At(0)
                && (setting.source != Source::Kubelet || self.mode == Mode::Tiered)
        };
        self.settings.iter().any(own)
    }

    /// How far up protections are carried: a priority is about other pods, so what follows from it is in vain unless the levels
    /// that the pods share protect it, too.
    pub(super) fn reach(&self, policy: Reach) -> Reach {
        let by_priority = self.setting(Knob::Low).is_some_and(|low| low.source == Source::Priority);
        if by_priority { Reach::Node } else { policy }
    }

    fn sent_by_kubelet(&self, knob: Knob) -> Option<Sent> {
        let setting = self.setting(knob).filter(|setting| setting.source == Source::Kubelet)?;
        Some(Sent { in_unified: true, value: Some(setting.value) })
    }

    fn choose(
        &mut self,
        limits: &mut Limits,
        knob: Knob,
        chosen: Option<(Option<Limit>, Source)>,
        before: &Self,
    ) {
        let Some((value, source)) = chosen else {
            if before.setting(knob).is_some() {
                limits.memory.set(knob, knob.neutral());
            }
            return;
        };
        let kept_from_kubelet = source == Source::Kubelet && knob == Knob::OomGroup;
        if self.mode == Mode::Off && knob != Knob::SwapMax && !kept_from_kubelet {
            withhold(limits, knob);
            self.withheld.push((knob, source));
            self.notices.push(Notice::Withheld { knob, source });
            return;
        }
        // What kubelet sent is among the limits already; a text that only the kernel can judge has no value here.
        let Some(value) = value else { return };
        if source != Source::Kubelet {
            limits.memory.set(knob, value);
        }
        self.settings.push(Setting { knob, value, source });
    }

    fn warn_of_old_kernel(&mut self, node: &NodeFacts) {
        if node.kernel < SAFE_THROTTLING
            && let Some(setting) = self.setting(Knob::High).copied()
            && setting.value != Limit::Unlimited
        {
            self.notices.push(Notice::OldKernel { source: setting.source, kernel: node.kernel });
        }
    }
}

/// A value that kubelet sent.
#[derive(Clone, Copy)]
struct Sent {
    /// By the file's own name, which wins over everything; `memory.reservation` and `memory.swap` are defaults of engines.
    in_unified: bool,
    /// `None` when the text is not understood.
    value: Option<Limit>,
}

fn sent(limits: &Limits, knob: Knob) -> Option<Sent> {
    if let Some(file) = unified(limits, knob.file()) {
        return Some(Sent { in_unified: true, value: parse_size(file.value.trim()) });
    }
    // Who sends a reservation means it; a limit of swap goes with every limit of memory, and is set as it is.
    let reservation = limits.memory.low.filter(|_| knob == Knob::Low)?;
    Some(Sent { in_unified: false, value: Some(reservation) })
}

fn unified<'a>(limits: &'a Limits, name: &str) -> Option<&'a UnifiedFile> {
    limits.unified.iter().find(|file| file.name == name)
}

/// The memory limit that `limits` set; the outer `None` when they set none.
fn limit_of(limits: &Limits) -> Option<Option<u64>> {
    let sent = unified(limits, "memory.max").and_then(|file| parse_size(file.value.trim()));
    sent.or(limits.memory.max).map(|limit| match limit {
        Limit::At(bytes) => Some(bytes),
        Limit::Unlimited => None,
    })
}

fn withhold(limits: &mut Limits, knob: Knob) {
    limits.unified.retain(|file| file.name != knob.file());
    match knob {
        Knob::Low => limits.memory.low = None,
        Knob::Min | Knob::High | Knob::SwapMax | Knob::OomGroup => {}
    }
}

/// What values are computed from.
struct Context<'a> {
    qos: &'a MemoryQos,
    node: &'a NodeFacts,
    /// The memory limit in bytes, when there is one.
    limit: Option<u64>,
}

impl Context<'_> {
    fn request(&self) -> Result<Option<Request>> {
        if let Some(wish) = &self.qos.wishes.request {
            let Limit::At(bytes) = self.promised(wish)? else {
                return Err(refused(wish, "is not a number of bytes"));
            };
            return Ok(Some(Request { bytes, slack: 0, source: RequestSource::Annotation }));
        }
        let exact = |bytes, source| Request { bytes, slack: 0, source };
        Ok(match self.qos.place.as_ref().map(PodPlace::class) {
            None => None,
            Some(QosClass::BestEffort) => Some(exact(0, RequestSource::Class)),
            Some(QosClass::Guaranteed) => self.limit.map(|limit| exact(limit, RequestSource::Limit)),
            Some(QosClass::Burstable) if self.qos.policy.estimate_requests => self.estimate(),
            Some(QosClass::Burstable) => None,
        })
    }

    fn estimate(&self) -> Option<Request> {
        let score = self.qos.oom_score_adj?;
        let bytes = estimate::request(score, self.node.capacity)?;
        let slack = estimate::error_bound(score, self.node.capacity);
        // A request is never more than the limit.
        let most = self.limit.unwrap_or(u64::MAX);
        let bytes = bytes.min(most);
        Some(Request { bytes, slack: slack.min(most - bytes), source: RequestSource::Estimate })
    }

    fn wish(&self, knob: Knob) -> Result<Option<Limit>> {
        let wishes = &self.qos.wishes;
        let wish = match knob {
            Knob::Min => return wishes.min.as_ref().map(|wish| self.promised(wish)).transpose(),
            Knob::Low => return wishes.low.as_ref().map(|wish| self.promised(wish)).transpose(),
            Knob::OomGroup => return Ok(wishes.oom_group.map(|group| Limit::At(u64::from(group)))),
            Knob::High => &wishes.high,
            Knob::SwapMax => &wishes.swap_max,
        };
        wish.as_ref().map(|wish| self.amount(wish)).transpose()
    }

    /// An amount that is promised to the container, so it must be one that the container can use.
    fn promised(&self, wish: &Wish) -> Result<Limit> {
        let amount = self.amount(wish)?;
        match (amount, self.limit) {
            (Limit::At(bytes), Some(limit)) if bytes > limit => {
                Err(refused(wish, "is more than the memory limit"))
            }
            _ => Ok(amount),
        }
    }

    fn amount(&self, wish: &Wish) -> Result<Limit> {
        match (wish.amount, self.limit) {
            (Amount::Bytes(bytes), _) => Ok(Limit::At(bytes)),
            (Amount::Max, _) => Ok(Limit::Unlimited),
            (Amount::Share(share), Some(limit)) => Ok(Limit::At(share.of(limit))),
            (Amount::Share(_), None) => {
                Err(refused(wish, "is a share of the memory limit, and there is none"))
            }
        }
    }

    /// What follows from the priority, else from the policy.
    fn derive(&self, knob: Knob, request: Option<Request>) -> Result<Option<(Limit, Source)>> {
        let by_policy = || Ok(self.by_policy(knob, request)?.map(|value| (value, Source::Policy)));
        match (self.qos.priority, knob) {
            // Whoever runs on what is left goes as a whole.
            (Some(Level::OFFLINE), Knob::OomGroup) => Ok(Some((Limit::At(1), Source::Priority))),
            // Nothing of what is left is promised, and throttling begins where it does for those who requested nothing.
            (Some(Level::OFFLINE), Knob::Min | Knob::Low) => Ok(None),
            (Some(Level::OFFLINE), Knob::High) => {
                let nothing = request.map(|request| Request { bytes: 0, slack: 0, ..request });
                Ok(self.by_policy(knob, nothing)?.map(|value| (value, Source::Policy)))
            }
            // What the policy protects more strongly needs no second protection.
            (Some(Level::ONLINE), Knob::Low) if self.by_policy(Knob::Min, request)?.is_none() => {
                let by_level = request.filter(|request| request.bytes > 0);
                match by_level {
                    Some(request) => Ok(Some((Limit::At(request.bytes), Source::Priority))),
                    None => by_policy(),
                }
            }
            _ => by_policy(),
        }
    }

    fn by_policy(&self, knob: Knob, request: Option<Request>) -> Result<Option<Limit>> {
        let policy = &self.qos.policy;
        let (Mode::Tiered, Some(class), Some(request)) =
            (policy.mode, self.qos.place.as_ref().map(PodPlace::class), request)
        else {
            return Ok(None);
        };
        let protection = Some(Limit::At(request.bytes)).filter(|_| request.bytes > 0);
        match (knob, class) {
            (Knob::Min, QosClass::Guaranteed) if policy.protect_guaranteed => Ok(protection),
            (Knob::Low, QosClass::Burstable) if policy.protect_burstable => Ok(protection),
            (Knob::High, QosClass::Burstable) if policy.throttle_burstable => self.throttling(request),
            (Knob::High, QosClass::BestEffort) if policy.throttle_best_effort => self.throttling(request),
            _ => Ok(None),
        }
    }

    fn throttling(&self, request: Request) -> Result<Option<Limit>> {
        let Some(factor) = self.qos.policy.throttling_factor else { return Ok(None) };
        let bound = self.limit.or(self.qos.policy.node_allocatable).unwrap_or(self.node.capacity);
        // Of an estimate, the most that it can have been: nobody is throttled within the request.
        let request = request.bytes.saturating_add(request.slack);
        let Some(high) = throttling_begins(request, bound, factor, self.node.page) else { return Ok(None) };
        if self.node.kernel < SAFE_THROTTLING {
            return Err(Error::UnsafeThrottling { kernel: self.node.kernel });
        }
        Ok(Some(Limit::At(high)))
    }
}

fn refused(wish: &Wish, reason: &'static str) -> Error {
    let (name, value) = wish.annotation.clone();
    Error::Annotation { name, value, reason }
}

#[cfg(test)]
mod tests;
