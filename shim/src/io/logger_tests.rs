use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::*;
use crate::io::{Stdio, open};

/// A shell script as a logger, in `directory`.
fn script(directory: &Path, body: &str) -> String {
    let path = directory.join("logger");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path.display().to_string()
}

fn identity() -> LoggerIdentity {
    LoggerIdentity { id: "web".into(), namespace: "k8s.io".into() }
}

fn start(uri: String) -> Result<(ballast_runtime::ProcessIo, crate::io::Opened), IoError> {
    let stdio = Stdio { stdout: uri.clone(), stderr: uri, ..Stdio::default() };
    open(&stdio, None, &identity(), &Reaper::default())
}

async fn started(uri: String) -> Result<(ballast_runtime::ProcessIo, crate::io::Opened), IoError> {
    tokio::task::spawn_blocking(move || start(uri)).await.unwrap()
}

#[tokio::test]
async fn a_logger_gets_both_streams_its_arguments_and_nothing_but_two_variables() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let body = r#"exec 5>&-
{ echo "$CONTAINER_NAMESPACE/$CONTAINER_ID $1 $2"; /usr/bin/env | /usr/bin/grep -c '^HOME='; /bin/cat <&3; /bin/cat <&4; } > "$2.part"
/bin/mv "$2.part" "$2""#;
    let uri = format!("binary://{}?out={}", script(directory.path(), body), out.display());
    let (io, opened) = started(uri).await.unwrap();
    let ballast_runtime::ProcessIo::Streams { stdout: Some(stdout), stderr: Some(stderr), .. } = io else {
        panic!("no streams")
    };
    rustix::io::write(&stdout, b"to out\n").unwrap();
    rustix::io::write(&stderr, b"to err\n").unwrap();
    drop((stdout, stderr));
    let streams = opened.attach(None, std::future::pending()).unwrap();
    let mut exit = {
        let held = streams.held();
        held.logger.as_ref().unwrap().exit.clone()
    };
    assert_eq!(exit.wait().await.status, 0);
    streams.finish().await;
    let expected = format!("k8s.io/web out {}\n0\nto out\nto err\n", out.display());
    assert_eq!(fs::read_to_string(out).unwrap(), expected);
}

#[tokio::test]
async fn a_logger_of_the_second_kind_has_to_say_that_it_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let silent = script(directory.path(), "exec 5>&-; exec /bin/sleep 1000");
    let error = started(format!("binary-v2://{silent}")).await.unwrap_err();
    assert!(matches!(error, IoError::LoggerNotReady { .. }), "{error:?}");
    let ready = script(directory.path(), "echo ready >&5; exec 5>&-; read line <&3");
    started(format!("binary-v2://{ready}")).await.unwrap();
}

#[tokio::test]
async fn a_logger_that_is_not_there_is_named() {
    let error = started("binary:///no/such/logger".into()).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/logger"), "{error}");
    assert!(matches!(error, IoError::StartLogger { .. }));
}

#[tokio::test]
async fn a_logger_is_asked_to_end() {
    let directory = tempfile::tempdir().unwrap();
    let flag = directory.path().join("ended");
    let body = r#"trap 'echo > "$2"; exit 0' TERM
exec 5>&-
while :; do /bin/sleep 0.01; done"#;
    let uri = format!("binary://{}?flag={}", script(directory.path(), body), flag.display());
    let (_io, opened) = started(uri).await.unwrap();
    opened.attach(None, std::future::pending()).unwrap().finish().await;
    assert!(flag.exists());
}

#[tokio::test]
async fn a_logger_of_a_process_that_could_not_be_made_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let (io, opened) =
        started(format!("binary://{}", script(directory.path(), "exec 5>&-; exec /bin/sleep 1000")))
            .await
            .unwrap();
    let mut exit = opened.logger.as_ref().unwrap().exit.clone();
    drop((io, opened));
    assert_eq!(exit.wait().await.status, 137);
}
