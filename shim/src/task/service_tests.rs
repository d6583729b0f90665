use super::*;

fn message(error: TaskError) -> String {
    ballast_runtime::report(&error)
}

#[test]
fn clients_see_what_is_starting_or_failed_as_created() {
    assert_eq!(status(StateName::Starting), Status::CREATED);
    assert_eq!(status(StateName::FailedToStart), Status::CREATED);
    assert_eq!(status(StateName::Deleted), Status::STOPPED);
}

#[test]
fn a_number_out_of_range_is_refused_with_its_bound() {
    assert_eq!(signal(9).unwrap(), 9);
    assert_eq!(message(signal(65).unwrap_err()), "signal 65 is out of range (at most 64)");
    assert_eq!(terminal_length("width", 80).unwrap(), 80);
    assert!(message(terminal_length("width", 70_000).unwrap_err()).contains("65535"));
}

#[test]
fn a_request_without_its_spec_is_refused_by_the_field() {
    let error = json::<ProcessSpec>(None, "spec", "the process to execute").unwrap_err();
    assert_eq!(
        (error.code(), message(error)),
        (ttrpc::Code::INVALID_ARGUMENT, "the request has no spec".into())
    );
}

#[test]
fn the_process_and_the_resources_that_cri_sends_decode() {
    let any = |text: &str| Any { value: text.as_bytes().to_vec(), ..Any::default() };
    let process = r#"{"terminal":false,"user":{"uid":1000,"gid":1000,"additionalGids":[5]},"args":["sh"],"env":["A=b"],
        "cwd":"/","capabilities":{"bounding":["CAP_CHOWN"],"effective":["CAP_CHOWN"],"permitted":["CAP_CHOWN"]},
        "noNewPrivileges":true,"oomScoreAdj":1000,"apparmorProfile":"cri-containerd.apparmor.d"}"#;
    let mut spec: ProcessSpec = json(Some(&any(process)), "spec", "the process to execute").unwrap();
    spec.set_terminal(Some(true));
    assert_eq!((spec.user().uid(), spec.terminal()), (1000, Some(true)));
    let resources = r#"{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":209715200,"swap":209715200},
        "cpu":{"shares":2,"quota":-1,"period":100000},"unified":{"memory.high":"max"}}"#;
    let resources: LinuxResources = json(Some(&any(resources)), "resources", "the resources to set").unwrap();
    assert_eq!(resources.cpu().as_ref().unwrap().quota(), Some(-1));
}

#[test]
fn an_execed_process_is_told_by_its_id() {
    let info = process_info(7, Some("e1")).unwrap();
    assert_eq!((info.pid, info.info.type_url.as_str()), (7, "containerd.runc.v1.ProcessDetails"));
    assert_eq!(ProcessDetails::parse_from_bytes(&info.info.value).unwrap().exec_id, "e1");
    assert!(process_info(7, None).unwrap().info.is_none());
}
