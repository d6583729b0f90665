//! What holds for every text that a node's administrator or a runtime class may put into the configuration.

use super::{Configuration, OF_THE_CLASS};
use crate::launch::options::{ConfigSource, RuntimeOptions};
use ballast_cgroups::memory_qos::{Fraction, Mode, Policy, Reach};
use ballast_cgroups::priority::{Level, MarkScale};
use ballast_runtime::{
    Containers, CpuView, PriorityPolicy, Rounding, Selection, ViewPolicy, Vocabulary, report,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Every key, with the table that it is in.
const KEYS: [(&str, &str); 22] = [
    ("", "no_new_keyring"),
    ("", "SystemdCgroup"),
    ("memory_qos", "policy"),
    ("memory_qos", "throttling_factor"),
    ("memory_qos", "node_allocatable"),
    ("memory_qos", "protect_ancestors"),
    ("memory_qos", "estimate_requests"),
    ("memory_qos.guaranteed", "protect"),
    ("memory_qos.burstable", "protect"),
    ("memory_qos.burstable", "throttle"),
    ("memory_qos.best_effort", "throttle"),
    ("priority", "default"),
    ("priority", "guaranteed"),
    ("priority", "burstable"),
    ("priority", "best_effort"),
    ("priority", "honour"),
    ("priority", "net_mark"),
    ("proc_view", "default"),
    ("proc_view", "files"),
    ("proc_view", "rounding"),
    ("proc_view", "sysinfo"),
    ("proc_view", "cpu_view"),
];

const TABLES: [&str; 7] = [
    "",
    "memory_qos",
    "memory_qos.guaranteed",
    "memory_qos.burstable",
    "memory_qos.best_effort",
    "priority",
    "proc_view",
];

fn load(text: &str) -> Result<Configuration, String> {
    super::parse(text, OF_THE_CLASS).map(|(configuration, _)| configuration).map_err(|error| report(&error))
}

fn line(table: &str, key: &str, value: &str) -> String {
    if table.is_empty() { format!("{key} = {value}") } else { format!("[{table}]\n{key} = {value}") }
}

/// A value of TOML: of any kind, many of them nearly right.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        (0..9_i64).prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| format!("{value:?}").to_lowercase()),
        "0\\.[0-9]{1,11}",
        "'[0-9]{1,20}(Ki|Mi|Gi|k|M|%|)'",
        "'[^'\\p{C}]{0,12}'",
        "\\['[a-z]{0,8}'\\]",
        "'(0x[0-9a-f]{1,9}|[0-9]{1,10})/(0x[0-9a-f]{1,9}|[0-9]{1,10})'",
        select(vec![
            "'off'",
            "'on'",
            "'up'",
            "'node'",
            "'tiered'",
            "'online'",
            "['volcano']",
            "['meminfo', 'cpu']",
            "{}",
            "[]"
        ])
        .prop_map(str::to_owned),
    ]
}

/// What is between the quotation marks of a value that is one text, or a list of one text. The text may have brackets of its own.
fn text_of(value: &str) -> Option<&str> {
    let one = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(value);
    one.strip_prefix('\'')?.strip_suffix('\'').filter(|text| !text.contains('\''))
}

fn level() -> impl Strategy<Value = Option<Level>> {
    option::of(select(Level::ALL.to_vec()))
}

prop_compose! {
    fn memory_qos()(
        mode in select(vec![(Mode::Kubelet, "kubelet"), (Mode::Tiered, "tiered"), (Mode::Off, "off")]),
        factor in option::of("0\\.[0-9]{0,8}[1-9]|1\\.0"),
        allocatable in option::of(0..=i64::MAX as u64),
        reach in select(vec![(Reach::Pod, "pod"), (Reach::Node, "node")]),
        flags in any::<[bool; 5]>(),
    ) -> (Policy, String) {
        let [estimate_requests, protect_guaranteed, protect_burstable, throttle_burstable, throttle_best_effort] = flags;
        let mut text = format!(
            "[memory_qos]\npolicy = '{}'\nprotect_ancestors = '{}'\nestimate_requests = {estimate_requests}\n\
             guaranteed.protect = {protect_guaranteed}\nbest_effort.throttle = {throttle_best_effort}\n\
             burstable = {{ protect = {protect_burstable}, throttle = {throttle_burstable} }}\n",
            mode.1, reach.1,
        );
        text.extend(factor.iter().map(|factor| format!("throttling_factor = '{factor}'\n")));
        text.extend(allocatable.iter().map(|bytes| format!("node_allocatable = {bytes}\n")));
        let policy = Policy {
            mode: mode.0,
            throttling_factor: factor.map(|factor| Fraction::factor(&factor).unwrap()),
            node_allocatable: allocatable,
            protect_ancestors: reach.0,
            estimate_requests,
            protect_guaranteed,
            protect_burstable,
            throttle_burstable,
            throttle_best_effort,
        };
        (policy, text)
    }
}

prop_compose! {
    fn priority()(
        levels in [level(), level(), level(), level()],
        honour in vec(select(vec![Vocabulary::Koordinator, Vocabulary::Volcano, Vocabulary::Caelus]), 0..4),
        shift in option::of(0..24_u32),
    ) -> (PriorityPolicy, String) {
        let [default, guaranteed, burstable, best_effort] = levels;
        let names: Vec<String> = honour.iter().map(|one| format!("'{one}'")).collect();
        let mut text = format!("[priority]\nhonour = [{}]\n", names.join(", "));
        let keys = ["default", "guaranteed", "burstable", "best_effort"];
        let written = keys.iter().zip(levels).filter_map(|(key, level)| Some(format!("{key} = {}\n", level?)));
        text.extend(written);
        // Of the mask's lowest bit, for level 0, with three bits more for the others.
        let net_mark = shift.map(|shift| format!("{:#x}/{}", 1_u32 << shift, 15_u32 << shift));
        text.extend(net_mark.iter().map(|scale| format!("net_mark = '{scale}'\n")));
        let net_mark = net_mark.map(|scale| scale.parse::<MarkScale>().unwrap());
        (PriorityPolicy { default, guaranteed, burstable, best_effort, honour, net_mark }, text)
    }
}

prop_compose! {
    fn proc_view()(
        containers in select(vec![(Containers::None, "off"), (Containers::Limited, "limited"), (Containers::All, "on")]),
        files in vec(select(Selection::NAMES.to_vec()), 1..5),
        rounding in select(vec![(Rounding::Up, "up"), (Rounding::Nearest, "nearest"), (Rounding::Down, "down")]),
        sysinfo in any::<bool>(),
        cpu_view in select(vec![(CpuView::Files, "files"), (CpuView::Cpuset, "cpuset")]),
    ) -> (ViewPolicy, String) {
        let text = format!(
            "[proc_view]\ndefault = '{}'\nfiles = {files:?}\nrounding = '{}'\nsysinfo = {sysinfo}\ncpu_view = '{}'\n",
            containers.1, rounding.1, cpu_view.1,
        );
        let files = Selection::parse(&files.join(",")).unwrap();
        (ViewPolicy { containers: containers.0, files, rounding: rounding.0, sysinfo, cpu_view: cpu_view.0 }, text)
    }
}

proptest! {
    #[test]
    fn any_text_is_understood_or_refused_with_where_it_is_from(text in any::<String>()) {
        if let Err(told) = load(&text) {
            let begin = format!("the configuration {OF_THE_CLASS}: ");
            prop_assert!(told.starts_with(&begin) && told.len() > begin.len(), "{told}");
        }
    }

    #[test]
    fn any_value_of_any_key_is_understood_or_refused_by_name((table, key) in select(KEYS.to_vec()), value in value()) {
        if let Err(told) = load(&line(table, key, &value)) {
            prop_assert!(told.contains(key), "{told}");
            // As it is written, or as a word of ours in quotation marks.
            let is_named = |text: &str| told.contains(text) || told.contains(&format!("{text:?}"));
            prop_assert!(text_of(&value).is_none_or(is_named), "{told}");
        }
    }

    #[test]
    fn a_key_that_is_not_known_is_refused_in_every_table(table in select(TABLES.to_vec()), key in "[a-z_]{1,10}", value in value()) {
        let is_known = KEYS.contains(&(table, &key));
        let path = if table.is_empty() { key.clone() } else { format!("{table}.{key}") };
        prop_assume!(!is_known && !TABLES.contains(&&*path));
        let told = load(&line(table, &key, &value)).unwrap_err();
        prop_assert!(told.contains(&format!("unknown field `{key}`")), "{told}");
    }

    #[test]
    fn what_is_configured_is_read_as_it_is_written_and_laid_over_itself_stays_so(
        (memory_qos, first) in memory_qos(),
        (priority, second) in priority(),
        (proc_view, third) in proc_view(),
        no_new_keyring in any::<bool>(),
    ) {
        let text = format!("no_new_keyring = {no_new_keyring}\n{first}{second}{third}");
        let expected = Configuration { no_new_keyring, systemd_cgroup: false, memory_qos, priority, proc_view };
        prop_assert_eq!(load(&text), Ok(expected.clone()));
        let node = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(node.path(), &text).unwrap();
        for class in ["", &text] {
            let laid = Configuration::laid_over(class, node.path()).map_err(|error| report(&error));
            prop_assert_eq!(laid.as_ref(), Ok(&expected));
        }
    }

    #[test]
    fn any_bytes_as_options_are_understood_or_refused_with_their_type_or_field(
        kind in select(vec!["containerd.runc.v1.Options", "runtimeoptions.v1.Options", "ballast.options.v1.Options", "x.Options"]),
        value in vec(any::<u8>(), 0..64),
    ) {
        let options = Any { type_url: kind.to_owned(), value, ..Any::default() };
        match RuntimeOptions::decode(&options) {
            Ok(read) => {
                prop_assert!(RuntimeOptions::is_known(&options));
                prop_assert!(!matches!(read.config, ConfigSource::File(path) if !path.is_absolute()));
            }
            Err(error) => {
                let told = error.to_string();
                prop_assert!(told.contains(kind) || told.starts_with("runtime option "), "{told}");
            }
        }
    }
}
