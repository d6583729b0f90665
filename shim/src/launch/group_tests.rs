use super::*;

fn group(config: &str) -> Result<Option<String>, GroupError> {
    let bundle = tempfile::tempdir().unwrap();
    std::fs::write(bundle.path().join("config.json"), config).unwrap();
    of_bundle(bundle.path())
}

#[test]
fn the_pod_is_the_group_and_an_explicit_group_comes_first() {
    let pod = r#"{"process":{"args":["a"]},"annotations":{"io.kubernetes.cri.sandbox-id":"pod"}}"#;
    assert_eq!(group(pod).unwrap().as_deref(), Some("pod"));
    let both =
        r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod","io.containerd.runc.v2.group":"own"}}"#;
    assert_eq!(group(both).unwrap().as_deref(), Some("own"));
}

#[test]
fn a_bundle_without_annotations_or_config_has_no_group() {
    assert_eq!(group(r#"{"ociVersion":"1.2.0"}"#).unwrap(), None);
    assert_eq!(of_bundle(tempfile::tempdir().unwrap().path()).unwrap(), None);
}

#[test]
fn a_broken_config_is_an_error_that_names_the_file() {
    let error = group("{").unwrap_err();
    assert!(error.to_string().contains("config.json"), "{error}");
}
