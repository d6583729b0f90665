//! What an operator asks of the shim.

use ballast_proto::ballast_pod::{
    DescribeRequest, DescribeResponse, Mechanism, Placement, SetLogLevelRequest, SetLogLevelResponse,
    SetProcViewRequest, SetProcViewResponse,
};
use serde_json::json;
use ttrpc::Code;

use crate::pod::Pod;

fn describe(pod: &Pod) -> DescribeResponse {
    pod.control("Describe", &DescribeRequest::default()).unwrap()
}

fn set_log_level(pod: &Pod, level: &str) -> Result<String, ttrpc::Status> {
    let request = SetLogLevelRequest { level: level.to_owned(), ..SetLogLevelRequest::default() };
    let answer: SetLogLevelResponse = pod.control("SetLogLevel", &request)?;
    Ok(answer.previous)
}

#[test]
fn the_pod_is_described_as_it_is() {
    let pod = Pod::start();
    let described = describe(&pod);
    assert_eq!((described.id.as_str(), described.containers.len()), ("pod", 0));
    assert_eq!(described.shim_version, env!("CARGO_PKG_VERSION"));
    pod.create("c", "read line < /proc/uptime; sleep 1000", |mut config| {
        config["annotations"] =
            json!({"ballast.dev/proc-view": "uptime", "io.kubernetes.cri.container-name": "web"});
        config
    });
    let created = &describe(&pod).containers[0];
    assert_eq!((&*created.id, &*created.name, &*created.state), ("c", "web", "created"));
    assert_eq!(created.pid, pod.state("c", "").pid);
    assert_eq!(created.proc_view.files.len(), 1);
    let file = &created.proc_view.files[0];
    assert_eq!((&*file.path, file.mechanism.enum_value()), ("/proc/uptime", Ok(Mechanism::LIVE)));
    let reads = created.proc_view.reads;
    std::fs::read(format!("/proc/{}/root/proc/uptime", created.pid)).unwrap();
    let view = describe(&pod).containers[0].proc_view.clone().unwrap();
    assert!(view.reads > reads && view.fallbacks == 0, "{view}");
    pod.start_process("c", "");
    assert_eq!(describe(&pod).containers[0].state, "running");
    pod.kill("c", "", 9).unwrap();
    pod.wait("c", "");
    assert_eq!(describe(&pod).containers[0].state, "stopped");
    pod.delete("c", "");
    assert!(describe(&pod).containers.is_empty());
}

fn set_proc_view(
    pod: &Pod,
    container: &str,
    placement: Placement,
) -> Result<Vec<(String, Vec<String>)>, ttrpc::Status> {
    let request = SetProcViewRequest {
        container_id: container.to_owned(),
        placement: placement.into(),
        ..SetProcViewRequest::default()
    };
    let answer: SetProcViewResponse = pod.control("SetProcView", &request)?;
    let failures: Vec<_> = answer.changes.iter().map(|change| &*change.failure).collect();
    assert!(failures.iter().all(|failure| failure.is_empty()), "{failures:?}");
    Ok(answer.changes.into_iter().map(|change| (change.container_id, change.paths)).collect())
}

#[test]
fn a_view_is_taken_away_and_put_back_in_one_container_or_all_and_the_shim_remembers() {
    let pod = Pod::start();
    let with_view = |mut config: serde_json::Value| {
        config["annotations"] = json!({"ballast.dev/proc-view": "stat,uptime"});
        config
    };
    pod.create("c", "sleep 1000", with_view);
    pod.create("plain", "sleep 1000", |config| config);
    pod.create("pod", "sleep 1000", with_view);
    for id in ["c", "plain", "pod"] {
        pod.start_process(id, "");
    }
    let placements = || -> Vec<_> {
        let containers = describe(&pod).containers;
        let views = containers.iter().filter(|container| container.proc_view.is_some());
        views.map(|container| container.proc_view.placement.enum_value().unwrap()).collect()
    };
    let paths = || vec!["/proc/stat".to_owned(), "/proc/uptime".to_owned()];
    let away = set_proc_view(&pod, "c", Placement::WITHDRAWN).unwrap();
    assert_eq!(away, [("c".to_owned(), paths())]);
    assert_eq!(placements(), [Placement::WITHDRAWN, Placement::IN_PLACE]);
    let all = set_proc_view(&pod, "", Placement::WITHDRAWN).unwrap();
    assert_eq!(all, [("c".to_owned(), vec![]), ("pod".to_owned(), paths())]);
    pod.kill("pod", "", 9).unwrap();
    pod.wait("pod", "");
    let back = set_proc_view(&pod, "", Placement::IN_PLACE).unwrap();
    assert_eq!(back, [("c".to_owned(), paths())]);
    assert_eq!(placements(), [Placement::IN_PLACE, Placement::WITHDRAWN]);

    for (container, placement, code, text) in [
        ("pod", Placement::IN_PLACE, Code::FAILED_PRECONDITION, "cannot change the view of a stopped"),
        ("plain", Placement::WITHDRAWN, Code::FAILED_PRECONDITION, "the container has no view of /proc"),
        ("nobody", Placement::WITHDRAWN, Code::NOT_FOUND, "container nobody not created"),
        ("c", Placement::PLACEMENT_UNSPECIFIED, Code::INVALID_ARGUMENT, "there is no placement 0"),
    ] {
        let refusal = set_proc_view(&pod, container, placement).unwrap_err();
        assert_eq!(refusal.code(), code, "{}", refusal.message());
        assert!(refusal.message().contains(text), "{}", refusal.message());
    }
    for id in ["c", "plain"] {
        pod.kill(id, "", 9).unwrap();
        pod.wait(id, "");
    }
    for id in ["c", "plain", "pod"] {
        pod.delete(id, "");
    }
}

#[test]
fn the_log_level_changes_until_it_is_changed_again_and_unknown_ones_are_refused_by_name() {
    let pod = Pod::start();
    assert_eq!(describe(&pod).log_level, "info");
    assert_eq!(set_log_level(&pod, "error").unwrap(), "info");
    assert_eq!(set_log_level(&pod, "trace").unwrap(), "error");
    let refusal = set_log_level(&pod, "loud").unwrap_err();
    assert_eq!(refusal.code(), Code::INVALID_ARGUMENT);
    assert_eq!(
        refusal.message(),
        "there is no log level \"loud\": there are error, warn, info, debug, trace"
    );
    assert_eq!(describe(&pod).log_level, "trace");
}

#[test]
fn a_method_of_a_later_version_is_unimplemented() {
    let pod = Pod::start();
    let refusal = pod.control::<DescribeResponse>("Levitate", &DescribeRequest::default()).unwrap_err();
    assert_eq!(refusal.code(), Code::UNIMPLEMENTED);
}

#[test]
fn where_the_shim_listens_is_recorded_while_it_serves() {
    let pod = Pod::start();
    let link = pod.records().join(".socket");
    let socket = std::fs::read_link(&link).unwrap();
    assert!(socket.starts_with(pod.path("s")), "{}", socket.display());
    pod.shut_down("pod");
    pod.wait_for_end();
    assert!(!pod.records().exists());
}

#[test]
fn the_record_of_a_shim_that_was_killed_goes_with_the_clean_up() {
    let pod = Pod::start();
    pod.create("c", "sleep 1000", |config| config);
    let records = pod.records();
    drop(pod);
    assert!(!records.exists());
}
