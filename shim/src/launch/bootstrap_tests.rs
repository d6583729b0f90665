use containerd_shim_protos::{
    bootstrap_api::{Extension, LogLevel},
    protobuf::{EnumOrUnknown, MessageField},
    shim::oci,
};

use super::*;

fn parameters() -> BootstrapParams {
    BootstrapParams { instance_id: "pod1".into(), namespace: "k8s.io".into(), ..BootstrapParams::default() }
}

fn runc_options() -> Any {
    let options = oci::Options { io_uid: 7, ..oci::Options::default() };
    Any {
        type_url: "containerd.runc.v1.Options".into(),
        value: options.write_to_bytes().unwrap(),
        ..Any::default()
    }
}

#[test]
fn parameters_of_this_task_are_recognised_and_answered_with_version_3() {
    let input = parameters().write_to_bytes().unwrap();
    let caller = Caller::identify(&input, "pod1", "k8s.io").unwrap();
    assert!(matches!(caller, Caller::Bootstrap(_)));
    let reply = BootstrapResult::parse_from_bytes(&caller.reply("unix:///s").unwrap()).unwrap();
    assert_eq!((reply.version, reply.address.as_str(), reply.protocol.as_str()), (3, "unix:///s", "ttrpc"));
}

#[test]
fn options_of_an_older_caller_decode_as_parameters_and_are_still_told_apart() {
    let input = runc_options().write_to_bytes().unwrap();
    assert!(BootstrapParams::parse_from_bytes(&input).is_ok(), "the ambiguity that this test is about");
    let caller = Caller::identify(&input, "pod1", "k8s.io").unwrap();
    assert_eq!(caller, Caller::Legacy(Some(runc_options())));
    assert_eq!(caller.options().unwrap().io_uid, 7);
    assert_eq!(caller.reply("unix:///s").unwrap(), b"unix:///s");
}

#[test]
fn no_input_is_an_older_caller_without_options() {
    let caller = Caller::identify(b"", "pod1", "k8s.io").unwrap();
    assert_eq!(caller, Caller::Legacy(None));
    assert_eq!(caller.options().unwrap(), RuntimeOptions::default());
}

#[test]
fn parameters_of_another_task_are_not_accepted() {
    let input = parameters().write_to_bytes().unwrap();
    for (id, namespace) in [("pod2", "k8s.io"), ("pod1", "moby")] {
        let caller = Caller::identify(&input, id, namespace).unwrap();
        assert!(matches!(caller.options(), Err(OptionsError::UnknownType(_))));
    }
}

#[test]
fn options_are_found_among_the_extensions() {
    let extension = |value| Extension { value: MessageField::some(value), ..Extension::default() };
    let foreign = Any { type_url: "containerd.io/nri.v1.PluginConfig".into(), ..Any::default() };
    let mut parameters = parameters();
    parameters.extensions = vec![extension(foreign), extension(runc_options())];
    let caller = Caller::identify(&parameters.write_to_bytes().unwrap(), "pod1", "k8s.io").unwrap();
    assert_eq!(caller.options().unwrap().io_uid, 7);
}

#[test]
fn the_level_is_taken_even_when_it_has_no_name() {
    let mut parameters = parameters();
    for (number, level) in
        [(LogLevel::LOG_LEVEL_DEBUG as i32, Level::Debug), (-6, Level::Debug), (9, Level::Error)]
    {
        parameters.log_level = EnumOrUnknown::from_i32(number);
        assert_eq!(Caller::Bootstrap(Box::new(parameters.clone())).level(), Some(level));
    }
}

#[test]
fn garbage_and_endless_input_are_refused() {
    assert!(matches!(Caller::identify(b"\xff\xff\xff", "i", "n"), Err(BootstrapError::NotUnderstood(_))));
    assert!(matches!(read_input(std::io::repeat(0)), Err(BootstrapError::TooLong)));
}
