//! Each backend's translation of each level, as the files hold it afterwards.

use super::*;
use crate::priority::backend::{TABLES, Work};

/// What `file` of the container holds at each level.
fn column(kernel: Kernel, file: &str) -> [String; 8] {
    column_of(kernel, BOX, file)
}

fn column_of(kernel: Kernel, cgroup: &str, file: &str) -> [String; 8] {
    Level::ALL.map(|level| {
        let model = node(kernel);
        ask(&model, BOX, Some(level), &Request { level: Some(level), ..Request::default() });
        assert_eq!(*model.refused.borrow(), []);
        model.value(cgroup, file)
    })
}

#[test]
fn tencentos_with_rue_takes_the_level_as_it_is() {
    assert_eq!(column(Kernel::Rue, "cgroup.priority"), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    let watermark = ["-25", "0", "0", "0", "0", "0", "0", "50"];
    assert_eq!(column(Kernel::Rue, "memory.priority_wmark_ratio"), watermark);
    assert_eq!(column(Kernel::Rue, "cpu.weight"), ["100"; 8]);
    assert_eq!(column(Kernel::Rue, "cpu.idle"), ["0"; 8]);
}

/// What is between the ends is told apart by weight, where a kernel has two classes only.
const WEIGHTS: [&str; 8] = ["100", "50", "25", "12", "6", "3", "1", "100"];
const OFFLINE: [&str; 8] = ["0", "0", "0", "0", "0", "0", "0", "1"];

#[test]
fn tencentos_with_bt_and_opencloudos_have_one_class_below() {
    for kernel in [Kernel::Bt, Kernel::OpenCloudOs] {
        assert_eq!(column(kernel, "cpu.offline"), OFFLINE);
        assert_eq!(column(kernel, "cpu.weight"), WEIGHTS);
        assert_eq!(column(kernel, "cpu.idle"), ["0"; 8]);
    }
}

#[test]
fn opencloudos_has_two_names_for_one_file_and_one_is_written() {
    let model = node(Kernel::OpenCloudOs);
    let report = ask(&model, BOX, Some(Level::OFFLINE), &at(7));
    assert_eq!(written(&report, Knob::Cpu), "opencloudos cpu.offline=1");
    assert_eq!(model.value(BOX, "cpu.scx"), "1");
    // RUE's part of that kernel.
    assert_eq!(written(&report, Knob::Memory), "tencentos cgroup.priority=7 memory.priority_wmark_ratio=50");
}

#[test]
fn anolis_counts_the_other_way() {
    assert_eq!(column(Kernel::Anolis, "cpu.bvt_warp_ns"), ["1", "0", "0", "0", "0", "0", "0", "-1"]);
    assert_eq!(column(Kernel::Anolis, "cpu.weight"), WEIGHTS);
    assert_eq!(column(Kernel::Anolis, "memory.priority"), ["12", "10", "9", "7", "5", "3", "2", "0"]);
    assert_eq!(column(Kernel::Anolis, "memory.wmark_min_adj"), ["-25", "0", "0", "0", "0", "0", "0", "50"]);
}

#[test]
fn openeuler_has_one_class_below() {
    assert_eq!(column(Kernel::OpenEuler, "cpu.qos_level"), ["0", "0", "0", "0", "0", "0", "0", "-1"]);
    assert_eq!(column(Kernel::OpenEuler, "memory.qos_level"), ["0", "0", "0", "0", "0", "0", "0", "-1"]);
    assert_eq!(column(Kernel::OpenEuler, "cpu.weight"), WEIGHTS);
}

#[test]
fn mainline_halves_the_weight_by_level_and_idles_at_the_last() {
    // An idle cgroup reads as weight 0.
    assert_eq!(column(Kernel::Mainline, "cpu.weight"), ["100", "50", "25", "12", "6", "3", "1", "0"]);
    assert_eq!(column(Kernel::Mainline, "cpu.idle"), OFFLINE);
    assert_eq!(column(Kernel::MainlineOld, "cpu.weight"), ["100", "50", "25", "12", "6", "3", "1", "1"]);
    // Siblings of a container are in its own pod only.
    for (kernel, file) in [
        (Kernel::Mainline, "cpu.weight"),
        (Kernel::Mainline, "cpu.idle"),
        (Kernel::MainlineOld, "cpu.weight"),
    ] {
        assert_eq!(column_of(kernel, POD, file), column(kernel, file));
    }
    let disk = ["100", "50", "25", "12", "6", "3", "1", "1"].map(|weight| format!("default {weight}"));
    for file in ["io.weight", "io.bfq.weight"] {
        assert_eq!(column(Kernel::Mainline, file), disk);
    }
}

#[test]
fn classes_of_disk_requests_stand_in_for_weights() {
    let mut classes = Vec::new();
    for level in Level::ALL {
        let mut model = node(Kernel::Mainline);
        model.disks.retain(|disk| disk.scheduler != "bfq");
        model.disks[0].cost_model = false;
        model.disks[0].scheduler = "mq-deadline".into();
        ask(&model, BOX, None, &Request { level: Some(level), ..Request::default() });
        classes.push(model.value(BOX, "io.prio.class"));
    }
    assert_eq!(classes[0], "no-change");
    assert_eq!(classes[1..7], ["restrict-to-be"; 6]);
    assert_eq!(classes[7], "idle");
}

#[test]
fn a_level_of_the_documentation_is_one_of_the_tables() {
    let page = include_str!("../../../../docs/priorities.md");
    for table in TABLES {
        for row in table.rows {
            let Work::Levels(columns) = &row.work else { continue };
            for column in *columns {
                let values = column.values.map(|value| value.unwrap_or("weight"));
                let line = format!("| `{}` | {} |", column.file, values.join(" | "));
                assert!(page.contains(&line), "docs/priorities.md, {}: {line}", table.backend);
            }
        }
    }
}

#[test]
fn every_knob_has_a_last_resort_on_mainline() {
    for knob in Knob::ALL {
        let mainline = TABLES.last().unwrap();
        assert!(mainline.rows.iter().any(|row| row.knob == knob), "{knob}");
    }
}
