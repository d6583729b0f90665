use super::*;

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
