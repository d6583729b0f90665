use super::*;

fn bundle(state: &Path, id: &str, sandbox: Option<&str>, config: Option<&str>) -> Member {
    let bundle = state.join(id);
    std::fs::create_dir(&bundle).unwrap();
    for (file, content) in [("sandbox", sandbox), ("config.json", config)] {
        if let Some(content) = content {
            std::fs::write(bundle.join(file), content).unwrap();
        }
    }
    Member { id: id.to_owned(), bundle }
}

#[test]
fn the_group_is_every_bundle_that_names_it_and_no_other() {
    let state = tempfile::tempdir().unwrap();
    let annotated = r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod"}}"#;
    let pod = bundle(state.path(), "pod", None, Some(annotated));
    bundle(state.path(), "by-file", Some("pod\n"), None);
    bundle(state.path(), "by-annotation", None, Some(annotated));
    bundle(state.path(), "file-wins", Some("other"), Some(annotated));
    bundle(state.path(), "alone", None, Some("{}"));
    bundle(state.path(), "broken", None, Some("{"));
    let mut ids: Vec<String> = other_members(&pod).into_iter().map(|member| member.id).collect();
    ids.sort();
    assert_eq!(ids, ["by-annotation", "by-file"]);
}

#[test]
fn deleting_what_is_gone_succeeds_and_tells_a_kill() {
    let state = tempfile::tempdir().unwrap();
    let identity = Identity {
        namespace: "ballast-test".into(),
        id: "gone".into(),
        grpc_address: state.path().display().to_string(),
        bundle: Some(state.path().join("gone")),
    };
    let response = DeleteResponse::parse_from_bytes(&delete(&identity).unwrap()).unwrap();
    assert_eq!((response.pid, response.exit_status), (0, 137));
    assert!(response.exited_at.seconds > 0);
}
