//! Against the model of the kernels' files.

mod behaviour;
mod sequences;
mod tables;

use std::fmt::Write as _;

use super::apply::{Target, apply};
use super::level::Level;
use super::model::{Kernel, Model};
use super::report::{Entry, Outcome, Report};
use super::request::Request;
use super::{Knob, Reason};

const POD: &str = "kubepods/pod1";
const BOX: &str = "kubepods/pod1/box";
const OTHER: &str = "kubepods/pod1/other";

/// A node with a pod and a container in it.
fn node(kernel: Kernel) -> Model {
    let model = Model::new(kernel);
    model.create(POD);
    model.create(BOX);
    model
}

fn level(number: u8) -> Level {
    Level::new(number).unwrap()
}

fn at(number: u8) -> Request {
    Request { level: Some(level(number)), ..Request::default() }
}

/// Applies to a container of the pod.
fn ask(model: &Model, container: &str, pod_level: Option<Level>, request: &Request) -> Report {
    apply(model, Target { container, pod: Some(POD) }, pod_level, request, None).unwrap()
}

fn entry(report: &Report, knob: Knob) -> &Entry {
    report.entries.iter().find(|entry| entry.knob == knob).unwrap()
}

/// Whose files an entry says were written, with the files of the container: `mainline cpu.idle=1`.
fn written(report: &Report, knob: Knob) -> String {
    match &entry(report, knob).outcome {
        Outcome::Written { backend, files } => {
            let mut text = backend.to_string();
            for file in files.iter().filter(|file| file.path.starts_with("/sys/fs/cgroup/kubepods/pod1/box"))
            {
                let name = file.path.file_name().unwrap().to_str().unwrap();
                write!(text, " {name}={}", file.value).unwrap();
            }
            text
        }
        Outcome::Left { to } => to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Outcome::Unset => "unset".to_owned(),
    }
}

fn reasons(report: &Report, knob: Knob) -> Vec<Reason> {
    entry(report, knob).passed_over.iter().map(|passed| passed.reason.clone()).collect()
}
