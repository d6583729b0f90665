//! The annotations of a pod: all of Ballast's, other systems' words, and what is none of them.

use std::collections::HashMap;

use arbitrary::Arbitrary;
use ballast_cgroups::memory_qos::{Amount, Wish, Wishes};
use ballast_cgroups::priority::{NetLimits, PageCacheLimit, Request};
use ballast_runtime::{Asked, CpuView, PlanError, Selection, ViewWish, Vocabulary};

use crate::Target;
use crate::values::Value;

const PREFIX: &str = "ballast.dev/";

/// Those of Ballast. That there are no others, the refusal of one that is not known says.
const KNOWN: [&str; 18] = [
    "memory-request",
    "memory-min",
    "memory-low",
    "memory-high",
    "memory-swap-max",
    "memory-oom-group",
    "proc-view",
    "sysinfo",
    "cpu-view",
    "priority",
    "cpu-burst",
    "cpu-smt-isolation",
    "memory-async-reclaim",
    "page-cache-limit",
    "disk-weight",
    "disk-limits",
    "net-priority",
    "net-limits",
];

/// Those of other systems, and whose they are.
const FOREIGN: [(&str, Vocabulary); 5] = [
    ("koordinator.sh/qosClass", Vocabulary::Koordinator),
    ("koordinator.sh/priority-class", Vocabulary::Koordinator),
    ("volcano.sh/qos-level", Vocabulary::Volcano),
    ("volcano.sh/preemptable", Vocabulary::Volcano),
    ("mixer.kubernetes.io/app-class", Vocabulary::Caelus),
];

const CONTAINER_NAME: (&str, &str) = ("io.kubernetes.cri.container-name", "web");
const SANDBOX: (&str, &str) = ("io.kubernetes.cri.container-type", "sandbox");

/// What a pod's author writes, for a container whose name is `web`.
#[derive(Arbitrary, Debug)]
pub struct Annotations {
    written: Vec<(Name, Value)>,
    honoured: [bool; 3],
    is_sandbox: bool,
}

#[derive(Arbitrary, Debug)]
enum Name {
    Known(u8, Owner),
    Foreign(u8),
    /// After our prefix.
    Misspelt(String),
    Anything(String),
}

#[derive(Arbitrary, Debug)]
enum Owner {
    Pod,
    Web,
    Another,
    Named(String),
}

impl Name {
    fn spell(&self) -> String {
        match self {
            Self::Known(which, owner) => {
                let what = KNOWN[usize::from(*which) % KNOWN.len()];
                match owner {
                    Owner::Pod => format!("{PREFIX}{what}"),
                    Owner::Web => format!("{PREFIX}{what}.web"),
                    Owner::Another => format!("{PREFIX}{what}.db"),
                    Owner::Named(owner) => format!("{PREFIX}{what}.{owner}"),
                }
            }
            Self::Foreign(which) => FOREIGN[usize::from(*which) % FOREIGN.len()].0.to_owned(),
            Self::Misspelt(name) => format!("{PREFIX}{name}"),
            Self::Anything(name) => name.clone(),
        }
    }
}

type Texts = HashMap<String, String>;

impl Target for Annotations {
    fn check(self) {
        let all = [Vocabulary::Koordinator, Vocabulary::Volcano, Vocabulary::Caelus];
        let honour: Vec<Vocabulary> =
            all.into_iter().zip(self.honoured).filter_map(|(one, counts)| counts.then_some(one)).collect();
        let mut texts: Texts =
            self.written.iter().map(|(name, value)| (name.spell(), value.spell())).collect();
        let who = if self.is_sandbox { SANDBOX } else { CONTAINER_NAME };
        texts.extend(owned([who]));
        match Asked::by(&texts, &honour) {
            Ok(asked) => check_accepted(&texts, &honour, &asked, self.is_sandbox),
            Err(error) => check_refused(&texts, &honour, &error),
        }
    }
}

fn owned<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> impl Iterator<Item = (String, String)> {
    texts.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// What is asked for, and for whom, if it is one of Ballast's as far as the prefix tells.
fn split(name: &str) -> Option<(&str, Option<&str>)> {
    let name = name.strip_prefix(PREFIX)?;
    Some(name.split_once('.').map_or((name, None), |(what, owner)| (what, Some(owner))))
}

/// A refusal names one annotation and its value, and that one is refused with the same words when it is alone.
fn check_refused(texts: &Texts, honour: &[Vocabulary], error: &PlanError) {
    let PlanError::Invalid { field, value, reason } = error else { panic!("{error:?}") };
    let told = error.to_string();
    assert!(told.starts_with(&format!("{field}: {value:?} ")) && !reason.is_empty(), "{told}");
    let name = if field == "annotations" { value } else { field };
    let written = texts.get(name).unwrap_or_else(|| panic!("nobody wrote {told}"));
    match split(name) {
        Some((what, _)) if !KNOWN.contains(&what) => {
            assert_eq!(field, "annotations");
            let listed = reason.split_once("there are ballast.dev/").unwrap().1;
            let listed = listed.strip_suffix(", each also with .<container>").unwrap();
            assert_eq!(listed.split(", ").count(), KNOWN.len(), "{listed}");
            assert!(KNOWN.iter().all(|known| listed.split(", ").any(|one| one == *known)), "{listed}");
        }
        Some(_) => assert_eq!((field, value), (name, written)),
        None => {
            assert_eq!((field, value), (name, written));
            let (_, whose) = FOREIGN.iter().find(|(known, _)| known == name).unwrap();
            assert!(honour.contains(whose), "{told}");
        }
    }
    let alone = owned([(name.as_str(), written.as_str())]).collect();
    assert_eq!(Asked::by(&alone, honour).unwrap_err().to_string(), told);
}

fn check_accepted(texts: &Texts, honour: &[Vocabulary], asked: &Asked, is_sandbox: bool) {
    for name in texts.keys() {
        if let Some((what, owner)) = split(name) {
            assert!(KNOWN.contains(&what) && owner != Some(""), "{name:?} is not known");
        }
    }
    check_bounds(&asked.priority);
    let is_of_another = |name: &str| {
        split(name).is_some_and(|(_, owner)| owner.is_some_and(|owner| is_sandbox || owner != "web"))
    };
    let own: Texts = texts.clone().into_iter().filter(|(name, _)| !is_of_another(name)).collect();
    assert_eq!(&Asked::by(&own, honour).unwrap(), asked, "what is for others changes nothing");
    // Whatever is for another would be accepted of everybody.
    for (name, value) in texts {
        if let Some((what, Some(_))) = split(name) {
            let general = HashMap::from([(format!("{PREFIX}{what}"), value.clone())]);
            assert!(Asked::by(&general, honour).is_ok(), "{name:?}: {value:?}");
        }
    }
    check_reads_back(asked);
}

/// What the scales are, is said in `docs/priorities.md`.
fn check_bounds(request: &Request) {
    for level in [request.level, request.net_priority].into_iter().flatten() {
        assert!(level.number() <= 7);
    }
    assert!(request.memory_async_reclaim.is_none_or(|share| (1..=100).contains(&share.hundredths())));
    assert!(request.disk_weight.is_none_or(|weight| (1..=1000).contains(&weight.number())));
    for (index, limit) in request.disk_limits.iter().enumerate() {
        assert!(limit.rates().iter().any(|(_, rate)| rate.is_some()), "{limit}");
        let before = &request.disk_limits[..index];
        assert!(before.iter().all(|other| other.target != limit.target), "{limit} is there twice");
    }
    assert!(request.net_limits != Some(NetLimits::default()));
    assert!(!matches!(request.page_cache_limit, Some(PageCacheLimit::Bytes(0..4096))));
}

/// Written in plain numbers, for the container alone, it is the same that is asked for.
fn check_reads_back(asked: &Asked) {
    let mut texts: Texts = owned([CONTAINER_NAME]).collect();
    for (what, value) in spell(asked) {
        texts.insert(format!("{PREFIX}{what}.web"), value);
    }
    let again = Asked::by(&texts, &[]).unwrap_or_else(|error| panic!("{error}, of {asked:?}"));
    assert_eq!(again.priority, asked.priority);
    assert_eq!(
        (again.proc_view, again.sysinfo, again.cpu_view),
        (asked.proc_view, asked.sysinfo, asked.cpu_view)
    );
    assert_eq!(amounts(&again.memory), amounts(&asked.memory));
    assert_eq!(again.memory.oom_group, asked.memory.oom_group);
}

fn amounts(wishes: &Wishes) -> [Option<Amount>; 5] {
    let Wishes { request, min, low, high, swap_max, oom_group: _ } = wishes;
    [request, min, low, high, swap_max].map(|wish| wish.as_ref().map(|wish| wish.amount))
}

fn spell(asked: &Asked) -> Vec<(&'static str, String)> {
    let Wishes { request, min, low, high, swap_max, oom_group } = &asked.memory;
    let amount = |wish: &Wish| match wish.amount {
        Amount::Bytes(bytes) => bytes.to_string(),
        Amount::Max => "max".to_owned(),
        // As it was written: what a fraction is made of is nobody's to see.
        Amount::Share(_) => wish.annotation.1.clone(),
    };
    let priority = &asked.priority;
    let limits: Vec<String> = priority.disk_limits.iter().map(ToString::to_string).collect();
    let spelled = [
        ("memory-request", request.as_ref().map(amount)),
        ("memory-min", min.as_ref().map(amount)),
        ("memory-low", low.as_ref().map(amount)),
        ("memory-high", high.as_ref().map(amount)),
        ("memory-swap-max", swap_max.as_ref().map(amount)),
        ("memory-oom-group", oom_group.map(|is_on| is_on.to_string())),
        ("proc-view", asked.proc_view.map(spell_view)),
        ("sysinfo", asked.sysinfo.map(|is_on| if is_on { "on" } else { "off" }.to_owned())),
        ("cpu-view", asked.cpu_view.map(spell_cpu_view)),
        ("priority", priority.level.map(|level| level.to_string())),
        ("cpu-burst", priority.cpu_burst.map(|burst| burst.to_string())),
        ("cpu-smt-isolation", Some(priority.smt_isolation.to_string())),
        ("memory-async-reclaim", priority.memory_async_reclaim.map(|share| share.to_string())),
        ("page-cache-limit", priority.page_cache_limit.map(spell_page_cache_limit)),
        ("disk-weight", priority.disk_weight.map(|weight| weight.to_string())),
        ("disk-limits", (!limits.is_empty()).then(|| limits.join("; "))),
        ("net-priority", priority.net_priority.map(|level| level.to_string())),
        ("net-limits", priority.net_limits.as_ref().map(spell_net_limits)),
    ];
    spelled.into_iter().filter_map(|(what, value)| Some((what, value?))).collect()
}

fn spell_view(wish: ViewWish) -> String {
    let ViewWish::Files(files) = wish else {
        return if wish == ViewWish::On { "on" } else { "off" }.to_owned();
    };
    let is_part = |name: &&str| {
        let one = Selection::parse(name).unwrap();
        if one.pressure { files.pressure } else { one.files().all(|file| files.contains(file)) }
    };
    Selection::NAMES.iter().copied().filter(is_part).collect::<Vec<_>>().join(",")
}

fn spell_cpu_view(view: CpuView) -> String {
    match view {
        CpuView::Files => "files".to_owned(),
        CpuView::Cpuset => "cpuset".to_owned(),
    }
}

fn spell_page_cache_limit(limit: PageCacheLimit) -> String {
    match limit {
        PageCacheLimit::Bytes(bytes) => bytes.to_string(),
        PageCacheLimit::Share(share) => share.to_string(),
    }
}

fn spell_net_limits(limits: &NetLimits) -> String {
    let rates = [("tx", limits.transmit_bits), ("rx", limits.receive_bits)];
    let rates = rates.iter().filter_map(|(key, bits)| Some(format!("{key}={}", (*bits)?)));
    rates.collect::<Vec<_>>().join(" ")
}
