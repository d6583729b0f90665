use super::*;

fn parse(words: &[&str]) -> Result<Arguments, ArgumentsError> {
    Arguments::parse(words.iter().map(OsString::from))
}

fn identity() -> Identity {
    Identity {
        namespace: "k8s.io".into(),
        id: "pod1".into(),
        grpc_address: "/run/c.sock".into(),
        bundle: None,
    }
}

#[test]
fn containerds_own_command_line_is_understood() {
    let words = ["-namespace", "k8s.io", "-address", "/run/c.sock", "-publish-binary", "/bin/containerd"];
    let arguments = parse(&[&words[..], &["-id", "pod1", "-debug", "start"]].concat()).unwrap();
    assert_eq!(arguments, Arguments { action: Action::Start(identity()), level: Level::Debug });
}

#[test]
fn two_dashes_and_equal_signs_mean_the_same() {
    let arguments = parse(&["--namespace=k8s.io", "--id=pod1", "-address=/run/c.sock", "start"]).unwrap();
    assert_eq!(arguments, Arguments { action: Action::Start(identity()), level: Level::Info });
}

#[test]
fn unknown_flags_are_skipped_with_and_without_a_value() {
    let known = ["-namespace", "k8s.io", "-id", "pod1", "-address", "/run/c.sock"];
    for unknown in [&["-new"][..], &["-new", "value"], &["-new=value"], &["--new", "value"]] {
        let words = [unknown, &known[..], unknown, &["start"]].concat();
        assert_eq!(parse(&words).unwrap().action, Action::Start(identity()), "{unknown:?}");
    }
}

#[test]
fn delete_takes_its_bundle_and_words_after_the_action_are_left_alone() {
    let words = ["-namespace", "n", "-id", "i", "-bundle", "/b", "delete", "-id", "other"];
    let Action::Delete(identity) = parse(&words).unwrap().action else { panic!("not delete") };
    assert_eq!((identity.id.as_str(), identity.bundle), ("i", Some(PathBuf::from("/b"))));
}

#[test]
fn version_and_info_need_no_identity() {
    assert_eq!(parse(&["-v"]).unwrap().action, Action::Version);
    assert_eq!(parse(&["--version"]).unwrap().action, Action::Version);
    assert_eq!(parse(&["-info"]).unwrap().action, Action::Info);
    assert_eq!(parse(&["-info=false"]), Err(ArgumentsError::NoAction));
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(parse(&["-id", "i", "start"]), Err(ArgumentsError::Required("namespace")));
    assert_eq!(parse(&["-namespace", "n", "start"]), Err(ArgumentsError::Required("id")));
    assert_eq!(parse(&["-namespace"]), Err(ArgumentsError::MissingValue("namespace".into())));
    assert_eq!(parse(&["stop"]), Err(ArgumentsError::UnknownAction("stop".into())));
    assert_eq!(
        parse(&["-info=maybe"]),
        Err(ArgumentsError::InvalidValue { flag: "info", value: "maybe".into() })
    );
}

#[test]
fn an_identifier_cannot_lead_out_of_its_directory() {
    for id in ["..", ".", "a/b", "/", "a\0"] {
        let result = parse(&["-namespace", "n", "-id", id, "delete"]);
        assert_eq!(result, Err(ArgumentsError::NotAnIdentifier { flag: "id", value: id.into() }));
    }
}
