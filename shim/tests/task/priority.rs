//! Priorities by annotations: when a task is created, and when a client's Update brings others. On a kernel of any kind:
//! `oom_score_adj` is what all of them have.

use std::{collections::HashMap, fs};

use ballast_proto::ballast_pod::{SetPriorityRequest, SetPriorityResponse};
use containerd_shim_protos::{api::UpdateTaskRequest, ttrpc};
use serde_json::json;
use ttrpc::Code;

use crate::pod::{Pod, no_deadline, status_of};

fn update(pod: &Pod, annotations: &[(&str, &str)]) -> ttrpc::Result<()> {
    let annotations: HashMap<String, String> =
        annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let request = UpdateTaskRequest { id: "c".into(), annotations, ..UpdateTaskRequest::default() };
    pod.task.update(no_deadline(), &request).map(drop)
}

#[track_caller]
fn assert_oom_score(pod: &Pod, expected: i32) {
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", pod.state("c", "").pid)).unwrap();
    assert_eq!(score.trim(), expected.to_string());
}

fn started(annotations: serde_json::Value) -> Pod {
    let pod = Pod::start();
    pod.create("c", "sleep 1000", |mut config| {
        config["annotations"] = annotations;
        config["process"]["oomScoreAdj"] = json!(300);
        config
    });
    pod.start_process("c", "");
    pod
}

fn end(pod: &Pod) {
    pod.kill("c", "", 9).unwrap();
    pod.wait("c", "");
    pod.delete("c", "");
}

#[test]
fn an_updates_annotations_are_laid_over_those_of_the_spec() {
    let pod = started(json!({"ballast.dev/priority": "4"}));
    assert_oom_score(&pod, 700);
    update(&pod, &[("ballast.dev/priority", "offline"), ("example.org/any", "thing")]).unwrap();
    assert_oom_score(&pod, 1000);
    // One that says something else leaves it.
    update(&pod, &[("ballast.dev/disk-weight", "50")]).unwrap();
    assert_oom_score(&pod, 1000);
    update(&pod, &[("example.org/any", "thing")]).unwrap();
    end(&pod);
}

#[test]
fn a_mistake_in_an_update_is_refused_by_name_and_changes_nothing() {
    let pod = started(json!({"ballast.dev/priority": "4"}));
    for (name, value, reason) in [
        ("ballast.dev/priority", "9", "is not a priority"),
        ("ballast.dev/memory-low", "1Mi", "cannot be changed by an update"),
        ("ballast.dev/proc-view", "off", "cannot be changed by an update"),
        ("ballast.dev/prio", "1", "is not an annotation of Ballast"),
    ] {
        let annotations = [("ballast.dev/priority", "7"), (name, value)];
        let Err(ttrpc::Error::RpcStatus(status)) = update(&pod, &annotations) else { panic!("{name}") };
        assert_eq!(status.code(), Code::INVALID_ARGUMENT);
        assert!(status.message().contains(name) && status.message().contains(reason), "{}", status.message());
        assert_oom_score(&pod, 700);
    }
    assert_eq!(status_of(update(&pod, &[])), Code::INVALID_ARGUMENT);
    end(&pod);
}

#[test]
fn an_operators_word_is_refused_when_it_means_nothing() {
    let pod = started(json!({}));
    let say = |id: &str, level| {
        let request = SetPriorityRequest { container_id: id.into(), level, ..SetPriorityRequest::default() };
        pod.control::<SetPriorityResponse>("SetPriority", &request)
    };
    for level in [8, 256, u32::MAX] {
        assert_eq!(say("", Some(level)).unwrap_err().code(), Code::INVALID_ARGUMENT);
    }
    assert_eq!(say("nobody", Some(7)).unwrap_err().code(), Code::NOT_FOUND);
    let answer = say("", Some(7)).unwrap();
    let priority = &answer.containers[0].priority;
    assert_eq!((priority.level, priority.source.as_str()), (Some(7), "operator"));
    assert_oom_score(&pod, 1000);
    end(&pod);
}
