//! The kernels' rules, one entry for each file.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::ModelCgroup;

/// Which kernel a model is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::priority) enum Kernel {
    /// Linux 6.12.
    Mainline,
    /// Linux 5.10: no `cpu.idle`, `cpu.max.burst`, `io.prio.class`, `memory.reclaim`.
    MainlineOld,
    /// TencentOS with the RUE module.
    Rue,
    /// TencentOS with BT files on cgroup v2.
    Bt,
    /// OpenCloudOS 6.6 with RUE's hooks and stubs of BT.
    OpenCloudOs,
    /// Anolis.
    Anolis,
    /// openEuler.
    OpenEuler,
}

pub(in crate::priority) const KERNELS: [Kernel; 7] = [
    Kernel::Mainline,
    Kernel::MainlineOld,
    Kernel::Rue,
    Kernel::Bt,
    Kernel::OpenCloudOs,
    Kernel::Anolis,
    Kernel::OpenEuler,
];

/// What a file takes.
enum Takes {
    /// A number from here to there; another gives this errno.
    Number(i64, i64, Errno),
    /// `max`, or a number.
    Bytes,
    /// One of these words.
    Words(&'static [&'static str]),
    /// `tx_bps=N rx_bps=N`.
    Rates,
    /// What only [`Kernel::write`] knows.
    Special,
}

/// What a write does to the cgroups below, and a new cgroup takes over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// Nothing.
    Own,
    /// A new cgroup has the value of the one above.
    AtCreation,
    /// As `AtCreation`; a write raises lower numbers below, and none may be lower than the one above.
    Floor,
    /// As `AtCreation`; a write goes to all below.
    Down,
}

struct FileRule {
    name: &'static str,
    default: &'static str,
    takes: Takes,
    spread: Spread,
    /// Without it (0, or absent), a write is refused.
    gate: Option<&'static str>,
}

const fn rule(name: &'static str, default: &'static str, takes: Takes) -> FileRule {
    FileRule { name, default, takes, spread: Spread::Own, gate: None }
}

const fn spread(rule: FileRule, spread: Spread) -> FileRule {
    FileRule { spread, ..rule_parts(rule) }
}

const fn gated(rule: FileRule, gate: &'static str) -> FileRule {
    FileRule { gate: Some(gate), ..rule_parts(rule) }
}

const fn rule_parts(rule: FileRule) -> FileRule {
    rule
}

use Takes::{Bytes, Number, Rates, Special, Words};

const BOTH: [FileRule; 9] = [
    rule("cpu.weight", "100", Special),
    rule("cpu.max", "max 100000", Special),
    rule("memory.max", "max", Bytes),
    rule("memory.high", "max", Bytes),
    rule("memory.low", "0", Bytes),
    rule("memory.oom.group", "0", Number(0, 1, Errno::INVAL)),
    rule("io.bfq.weight", "default 100", Special),
    rule("io.weight", "default 100", Special),
    rule("io.max", "", Special),
];
const NEWER: [FileRule; 4] = [
    rule("cpu.idle", "0", Special),
    rule("cpu.max.burst", "0", Special),
    rule("io.prio.class", "no-change", Words(&["no-change", "promote-to-rt", "restrict-to-be", "idle"])),
    rule("memory.reclaim", "", Bytes),
];
const MEMORY_QOS: &str = "/proc/sys/vm/memory_qos";
const RUE: [FileRule; 7] = [
    spread(rule("cgroup.priority", "0", Number(0, 7, Errno::RANGE)), Spread::Floor),
    gated(rule("memory.use_priority_oom", "0", Number(0, 1, Errno::INVAL)), MEMORY_QOS),
    gated(rule("memory.priority_wmark_ratio", "0", Number(-75, 75, Errno::INVAL)), MEMORY_QOS),
    spread(
        gated(rule("memory.async_ratio", "0", Number(-1000, 100, Errno::INVAL)), MEMORY_QOS),
        Spread::AtCreation,
    ),
    gated(rule("memory.pagecache.max_ratio", "100", Number(5, 100, Errno::INVAL)), MEMORY_QOS),
    gated(rule("net_cls.limit", "tx_bps=0 rx_bps=0", Rates), "/proc/sys/net/core/net_qos"),
    gated(rule("cpu.ht_sensi_type", "0", Number(0, 1, Errno::RANGE)), "/proc/sys/kernel/cpu_qos_ht_isolate"),
];
const BT: [FileRule; 1] = [spread(rule("cpu.offline", "0", Number(0, 1, Errno::RANGE)), Spread::AtCreation)];
const OPENCLOUDOS: [FileRule; 1] =
    [spread(rule("cpu.scx", "0", Number(0, 1, Errno::RANGE)), Spread::AtCreation)];
const ANOLIS: [FileRule; 8] = [
    spread(rule("cpu.bvt_warp_ns", "0", Number(-1, 2, Errno::INVAL)), Spread::Down),
    rule("memory.priority", "0", Number(0, 12, Errno::INVAL)),
    rule("memory.use_priority_oom", "0", Number(0, 1, Errno::INVAL)),
    rule("memory.wmark_min_adj", "0", Number(-25, 50, Errno::INVAL)),
    rule("memory.wmark_ratio", "0", Number(0, 100, Errno::INVAL)),
    rule("memory.wmark_scale_factor", "50", Number(1, 1000, Errno::INVAL)),
    rule("memory.pagecache_limit.enable", "0", Number(0, 1, Errno::INVAL)),
    rule("memory.pagecache_limit.size", "0", Special),
];
const OPENEULER: [FileRule; 3] = [
    spread(rule("cpu.qos_level", "0", Number(-1, 0, Errno::INVAL)), Spread::AtCreation),
    gated(rule("memory.qos_level", "0", Number(-1, 0, Errno::INVAL)), "/proc/sys/vm/memcg_qos_enable"),
    rule("memory.high_async_ratio", "0", Number(0, 100, Errno::INVAL)),
];

type Node = BTreeMap<String, rustix::io::Result<String>>;
type Cgroups = BTreeMap<String, ModelCgroup>;

impl Kernel {
    /// The switches of this kernel, by their paths.
    pub(in crate::priority) fn switches(self) -> &'static [&'static str] {
        match self {
            Self::Mainline | Self::MainlineOld | Self::Bt => &[],
            Self::Rue => &[
                "/proc/sys/kernel/cpu_qos",
                "/proc/sys/kernel/cpu_qos_ht_isolate",
                "/proc/sys/vm/memory_qos",
                "/proc/sys/net/core/net_qos",
            ],
            Self::OpenCloudOs => &["/proc/sys/vm/memory_qos", "/proc/sys/net/core/net_qos"],
            Self::Anolis => &["/proc/sys/kernel/sched_group_identity_enabled"],
            Self::OpenEuler => &["/proc/sys/vm/memcg_qos_enable"],
        }
    }

    fn rules(self) -> Vec<&'static FileRule> {
        let newer: &[FileRule] = if self == Self::MainlineOld { &[] } else { &NEWER };
        let vendor: [&'static [FileRule]; 3] = match self {
            Self::Mainline | Self::MainlineOld => [&[], &[], &[]],
            Self::Rue => [&RUE, &[], &[]],
            Self::Bt => [&BT, &[], &[]],
            Self::OpenCloudOs => [&RUE, &BT, &OPENCLOUDOS],
            Self::Anolis => [&ANOLIS, &[], &[]],
            Self::OpenEuler => [&OPENEULER, &[], &[]],
        };
        BOTH.iter().chain(newer).chain(vendor.into_iter().flatten()).collect()
    }

    /// The files of a new cgroup below one with these.
    pub(in crate::priority) fn new_cgroup(
        self,
        above: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let rules = self.rules().into_iter();
        rules
            .map(|rule| {
                let inherited = above.get(rule.name).filter(|_| rule.spread != Spread::Own);
                (rule.name.to_owned(), inherited.cloned().unwrap_or_else(|| rule.default.to_owned()))
            })
            .collect()
    }

    pub(in crate::priority) fn write(
        self,
        node: &Node,
        cgroups: &mut Cgroups,
        directory: &str,
        file: &str,
        value: &str,
    ) -> Result<(), Errno> {
        let rules = self.rules();
        let rule = rules.iter().find(|rule| rule.name == file).ok_or(Errno::NOENT)?;
        let parent = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
        let above = cgroups.get(parent).and_then(|cgroup| cgroup.files.get(file)).cloned();
        let files = &mut cgroups.get_mut(directory).ok_or(Errno::NODEV)?.files;
        if let Some(gate) = rule.gate
            && !matches!(node.get(gate), Some(Ok(content)) if content != "0")
        {
            return Err(Errno::PERM);
        }
        match rule.takes {
            Number(least, most, errno) => {
                let number: i64 = value.parse().map_err(|_| Errno::INVAL)?;
                if number < least || number > most {
                    return Err(errno);
                }
                let floor = above.and_then(|above| above.parse::<i64>().ok());
                if rule.spread == Spread::Floor && floor.is_some_and(|floor| number < floor) {
                    return Err(Errno::INVAL);
                }
            }
            Bytes if value == "max" || value.parse::<u64>().is_ok() => {}
            Words(words) if words.contains(&value) => {}
            Rates if is_rates(value) => {}
            Special => return special(files, file, value),
            Bytes | Words(_) | Rates => return Err(Errno::INVAL),
        }
        files.insert(file.to_owned(), value.to_owned());
        if self == Self::OpenCloudOs && matches!(file, "cpu.offline" | "cpu.scx") {
            for alias in ["cpu.offline", "cpu.scx"] {
                files.insert(alias.to_owned(), value.to_owned());
            }
        }
        spread_below(cgroups, directory, rule, value);
        Ok(())
    }
}

fn spread_below(cgroups: &mut Cgroups, directory: &str, rule: &FileRule, value: &str) {
    let prefix = format!("{directory}/");
    let number = |text: &str| text.parse::<i64>().unwrap_or_default();
    for (_, cgroup) in cgroups.iter_mut().filter(|(path, _)| path.starts_with(&prefix)) {
        let Some(below) = cgroup.files.get_mut(rule.name) else { continue };
        let follows = match rule.spread {
            Spread::Own | Spread::AtCreation => false,
            Spread::Floor => number(below) < number(value),
            Spread::Down => true,
        };
        if follows {
            value.clone_into(below);
        }
    }
}

fn special(files: &mut BTreeMap<String, String>, file: &str, value: &str) -> Result<(), Errno> {
    let is_idle = files.get("cpu.idle").is_some_and(|idle| idle == "1");
    let quota = files.get("cpu.max").and_then(|max| max.split(' ').next()?.parse::<u64>().ok());
    let burst = files.get("cpu.max.burst").and_then(|burst| burst.parse::<u64>().ok()).unwrap_or(0);
    let stored = match file {
        "cpu.weight" => {
            let weight: u64 = value.parse().map_err(|_| Errno::INVAL)?;
            if !(1..=10_000).contains(&weight) {
                return Err(Errno::RANGE);
            }
            if is_idle {
                return Err(Errno::INVAL);
            }
            value.to_owned()
        }
        "cpu.idle" => {
            match (value, is_idle) {
                ("0", false) | ("1", _) => {}
                // It begins anew with the default.
                ("0", true) => drop(files.insert("cpu.weight".to_owned(), "100".to_owned())),
                _ => return Err(Errno::RANGE),
            }
            value.to_owned()
        }
        "cpu.max" => {
            let mut words = value.split(' ');
            let next = words.next().unwrap_or_default();
            if next != "max" && next.parse::<u64>().map_err(|_| Errno::INVAL)? < burst.max(1000) {
                return Err(Errno::INVAL);
            }
            format!("{next} {}", words.next().unwrap_or("100000"))
        }
        "cpu.max.burst" => {
            let next: u64 = value.parse().map_err(|_| Errno::INVAL)?;
            if next > 0 && quota.is_none_or(|quota| next > quota) {
                return Err(Errno::INVAL);
            }
            value.to_owned()
        }
        "io.weight" | "io.bfq.weight" => {
            let most = if file == "io.weight" { 10_000 } else { 1000 };
            let weight = value.strip_prefix("default ").ok_or(Errno::INVAL)?;
            let number: u64 = weight.parse().map_err(|_| Errno::INVAL)?;
            if number < 1 || number > most {
                return Err(Errno::RANGE);
            }
            value.to_owned()
        }
        "io.max" => io_max(files.get(file).map_or("", String::as_str), value)?,
        "memory.pagecache_limit.size" => {
            let bytes: u64 = value.parse().map_err(|_| Errno::INVAL)?;
            let limit = files.get("memory.max").and_then(|max| max.parse::<u64>().ok());
            if limit.is_some_and(|limit| bytes > limit) {
                return Err(Errno::INVAL);
            }
            value.to_owned()
        }
        _ => return Err(Errno::NOENT),
    };
    files.insert(file.to_owned(), stored);
    Ok(())
}

/// The file's content after a line is written to it. Rates that the line does not name stay.
fn io_max(content: &str, line: &str) -> Result<String, Errno> {
    const KEYS: [&str; 4] = ["rbps", "wbps", "riops", "wiops"];
    let mut lines: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for line in content.lines().chain([line]) {
        let (device, rates) = line.split_once(' ').ok_or(Errno::INVAL)?;
        let device = lines.entry(device).or_insert_with(|| KEYS.map(|key| (key, "max")).into());
        for rate in rates.split(' ') {
            let (key, value) = rate.split_once('=').ok_or(Errno::INVAL)?;
            if !KEYS.contains(&key) || (value != "max" && value.parse::<u64>().unwrap_or(0) == 0) {
                return Err(Errno::INVAL);
            }
            device.insert(KEYS.into_iter().find(|known| *known == key).ok_or(Errno::INVAL)?, value);
        }
    }
    lines.retain(|_, rates| rates.values().any(|value| *value != "max"));
    let line = |(device, rates): (&&str, &BTreeMap<&str, &str>)| {
        let rates = KEYS.map(|key| format!("{key}={}", rates.get(key).unwrap_or(&"max")));
        format!("{device} {}", rates.join(" "))
    };
    Ok(lines.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// `tx_bps=N rx_bps=N`, either or both.
fn is_rates(value: &str) -> bool {
    value.split_ascii_whitespace().all(|word| {
        word.split_once('=')
            .is_some_and(|(key, number)| matches!(key, "tx_bps" | "rx_bps") && number.parse::<u64>().is_ok())
    })
}
