//! What is refused, with which words, and that nothing is left of it.

use super::Test;
use super::bundle::{Bundle, Streams};
use ballast_runtime::{ErrorKind, Runtime, report};
use serde_json::json;
use std::sync::Arc;

pub const TESTS: &[(&str, Test)] = &[
    ("a_command_that_does_not_exist_is_told_at_create", missing_command),
    ("a_file_that_is_no_program_is_told_at_start", no_program),
    ("a_missing_mount_source_is_named", missing_source),
    ("a_working_directory_that_cannot_be_made_is_named", impossible_directory),
    ("a_cgroup_path_that_escapes_is_refused", escaping_cgroup),
    ("a_truncated_config_is_refused", truncated_config),
    ("a_hook_that_fails_stops_the_creation_with_its_words", failing_hook),
    ("an_unknown_apparmor_profile_is_refused_by_name", unknown_apparmor_profile),
    ("a_controller_that_is_missing_is_named", missing_controller),
    ("an_unsupported_field_is_refused_by_name", unsupported),
];

fn missing_command(runtime: &Arc<Runtime>) {
    let bundle = Bundle::new("").set("/process/args", json!(["no-such-command"]));
    let error = bundle.create(runtime, Streams::new().io()).expect_err("refused at create");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(report(&error), r#"exec: "no-such-command": executable file not found in $PATH"#);
    bundle.assert_nothing_left();
    let error = bundle.set("/process/args", json!(["/no/such"])).refusal(runtime);
    assert_eq!(error, r#"exec: "/no/such": no such file or directory"#);
}

fn no_program(runtime: &Arc<Runtime>) {
    let bundle = Bundle::new("").set("/process/args", json!(["/etc/garbage"]));
    let path = bundle.rootfs().join("etc/garbage");
    std::fs::write(&path, "\x7fELFgarbage").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let error = bundle.refusal(runtime);
    assert!(error.contains("exec /etc/garbage") && error.contains("exec format error"), "{error}");
}

fn missing_source(runtime: &Arc<Runtime>) {
    let error = Bundle::new("true")
        .add_mount(json!({"destination": "/data", "type": "bind", "source": "/no/such/volume", "options": ["rbind"]}))
        .refusal(runtime);
    assert!(
        error.contains("mounts[8].source")
            && error.contains("/no/such/volume")
            && error.contains("No such file"),
        "{error}"
    );
}

fn impossible_directory(runtime: &Arc<Runtime>) {
    let error = Bundle::new("true").set("/process/cwd", json!("/proc/cannot/be/made")).refusal(runtime);
    assert!(error.contains("chdir to the working directory /proc/cannot/be/made"), "{error}");
}

fn escaping_cgroup(runtime: &Arc<Runtime>) {
    let error = Bundle::new("true").set("/linux/cgroupsPath", json!("/ballast/../../etc")).refusal(runtime);
    assert!(error.contains("/ballast/../../etc") && error.contains("leads out of the hierarchy"), "{error}");
}

fn truncated_config(runtime: &Arc<Runtime>) {
    let bundle = Bundle::new("true");
    let text = bundle.config.to_string();
    std::fs::write(bundle.path().join("config.json"), &text[..text.len() / 2]).unwrap();
    let error = report(&bundle.create_as_written(runtime, Streams::new().io()).err().unwrap());
    assert!(error.contains("config.json") && error.contains("EOF"), "{error}");
    bundle.assert_nothing_left();
}

fn failing_hook(runtime: &Arc<Runtime>) {
    for point in ["prestart", "createRuntime", "createContainer"] {
        let error = Bundle::new("true")
            .set(
                "/hooks",
                json!({point: [{"path": "/bin/sh", "args": ["sh", "-c", "echo no GPU >&2; exit 4"]}]}),
            )
            .refusal(runtime);
        assert!(
            error.contains(point) && error.contains("exit status: 4") && error.contains("no GPU"),
            "{error}"
        );
    }
}

fn unknown_apparmor_profile(runtime: &Arc<Runtime>) {
    let error =
        Bundle::new("true").set("/process/apparmorProfile", json!("no-such-profile")).refusal(runtime);
    assert!(error.contains("no-such-profile"), "{error}");
}

fn missing_controller(runtime: &Arc<Runtime>) {
    let controllers =
        std::fs::read_to_string(super::bundle::find_cgroup_mount().join("cgroup.controllers")).unwrap();
    let limits = [
        ("cpuset", "/linux/resources/cpu", json!({"cpus": "0"})),
        ("hugetlb", "/linux/resources/hugepageLimits", json!([{"pageSize": "2MB", "limit": 0}])),
        ("rdma", "/linux/resources/rdma", json!({"mlx5_0": {"hcaHandles": 1}})),
    ];
    // A kernel that has them all has nothing to refuse.
    for (controller, field, limit) in limits {
        if !controllers.split_whitespace().any(|present| present == controller) {
            let error = Bundle::new("true").set(field, limit).refusal(runtime);
            assert!(error.contains(&format!("controller {controller} is not enabled")), "{error}");
        }
    }
}

fn unsupported(runtime: &Arc<Runtime>) {
    let error = Bundle::new("true").set("/linux/intelRdt", json!({"closID": "gold"})).refusal(runtime);
    assert_eq!(error, "linux.intelRdt is not supported");
}
