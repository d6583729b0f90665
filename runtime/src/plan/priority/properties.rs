//! What holds for every text that a pod may put into an annotation.

use super::{NAMES, plan_priority, value};
use crate::plan::annotations::tests::spec_with;
use crate::plan::{Annotations, PriorityPolicy, Vocabulary};
use ballast_cgroups::priority::{DiskLimit, DiskTarget, NetLimits};
use ballast_cgroups::{CgroupPath, DeviceNumber};
use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;

/// Anything, and what is nearly right.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9]{0,4}(us|ms|s|%|Mi|Gi|k|)",
        "(all|8:0|/dev/null)? ?[rwt](bps|iops|x)=[0-9a-zA-Z.]{0,5}[; ]?",
        "[0-9]{0,22}",
        "o(n|ff)line",
    ]
}

fn rate() -> impl Strategy<Value = Option<u64>> {
    option::of(0..=u64::from(u32::MAX))
}

fn spell(rates: &[(&str, Option<u64>)]) -> String {
    let rates = rates.iter().filter_map(|(key, rate)| Some(format!("{key}={}", (*rate)?)));
    rates.collect::<Vec<_>>().join(" ")
}

proptest! {
    #[test]
    fn any_text_is_understood_or_refused_by_name_and_value(name in 0..NAMES.len(), owner in "[a-z]{0,3}", text in text()) {
        let owner = if owner.is_empty() { owner } else { format!(".{owner}") };
        let name = format!("ballast.dev/{}{owner}", NAMES[name]);
        let spec = spec_with(&[(&name, &text)]);
        let path = CgroupPath::parse("/kubepods/burstable/pod1/a").unwrap();
        let plan = plan_priority(&Annotations::of(&spec).unwrap(), &path, &PriorityPolicy::default());
        if let Err(error) = plan {
            let told = error.to_string();
            let begin = format!("{name}: {text:?} ");
            prop_assert!(told.starts_with(&begin) && told.len() > begin.len(), "{told}");
        }
    }

    #[test]
    fn any_word_of_another_system_is_understood_or_refused_by_name(text in text()) {
        for name in ["koordinator.sh/qosClass", "koordinator.sh/priority-class", "volcano.sh/qos-level",
                     "volcano.sh/preemptable", "mixer.kubernetes.io/app-class"] {
            let spec = spec_with(&[(name, &text)]);
            let path = CgroupPath::parse("/a").unwrap();
            let policy = PriorityPolicy {
                honour: vec![Vocabulary::Koordinator, Vocabulary::Volcano, Vocabulary::Caelus],
                ..PriorityPolicy::default()
            };
            if let Err(error) = plan_priority(&Annotations::of(&spec).unwrap(), &path, &policy) {
                let begin = format!("{name}: {text:?} is not known: there are ");
                prop_assert!(error.to_string().starts_with(&begin));
            }
        }
    }

    #[test]
    fn limits_of_disks_are_read_as_they_are_written(
        all in any::<bool>(),
        disks in btree_map((0..4096_u32, 0..1_000_000_u32), (rate(), rate(), rate(), 0..=u64::from(u32::MAX)), 0..4),
    ) {
        let mut limits: Vec<DiskLimit> = disks
            .into_iter()
            .map(|((major, minor), (read_bytes, write_bytes, read_operations, write_operations))| DiskLimit {
                target: DiskTarget::Device(DeviceNumber { major, minor }),
                read_bytes,
                write_bytes,
                read_operations,
                write_operations: Some(write_operations),
            })
            .collect();
        if all || limits.is_empty() {
            limits.push(DiskLimit {
                target: DiskTarget::All,
                read_bytes: Some(1),
                write_bytes: None,
                read_operations: None,
                write_operations: None,
            });
        }
        let parts = limits.iter().map(|limit| format!("{} {}", limit.target, spell(&limit.rates())));
        let text = parts.collect::<Vec<_>>().join("; ");
        prop_assert_eq!(value::disk_limits(&text), Ok(limits));
    }

    #[test]
    fn limits_of_the_network_are_read_as_they_are_written(transmit in any::<u32>(), receive in rate()) {
        let limits = NetLimits { transmit_bits: Some(transmit.into()), receive_bits: receive };
        let text = spell(&[("rx", limits.receive_bits), ("tx", limits.transmit_bits)]);
        prop_assert_eq!(value::net_limits(&text), Ok(limits));
    }

    #[test]
    fn times_are_read_as_they_are_written(number in any::<u32>(), unit in 0..3_usize) {
        let (unit, factor) = [("us", 1), ("ms", 1_000), ("s", 1_000_000)][unit];
        prop_assert_eq!(value::microseconds(&format!("{number}{unit}")).unwrap().0, u64::from(number) * factor);
    }
}
