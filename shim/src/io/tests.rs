use std::{fs, io::Read};

use super::*;

fn identity() -> LoggerIdentity {
    LoggerIdentity { id: "c".into(), namespace: "test".into() }
}

#[test]
fn no_stream_is_no_descriptor() {
    let (io, opened) = open(&Stdio::default(), None, &identity(), &Reaper::default()).unwrap();
    assert!(matches!(io, ProcessIo::Streams { stdin: None, stdout: None, stderr: None }));
    assert!(opened.kept.is_empty() && opened.stdin_writer.is_none());
}

#[test]
fn both_streams_are_appended_to_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/log");
    let uri = format!("file://{}", path.display());
    let stdio = Stdio { stdout: uri.clone(), stderr: uri, ..Stdio::default() };
    let (io, _) = open(&stdio, None, &identity(), &Reaper::default()).unwrap();
    let ProcessIo::Streams { stdout: Some(stdout), stderr: Some(stderr), .. } = io else {
        panic!("no streams")
    };
    rustix::io::write(&stdout, b"out ").unwrap();
    rustix::io::write(&stderr, b"err").unwrap();
    let mut content = String::new();
    fs::File::open(path).unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "out err");
}

#[test]
fn a_terminal_starts_with_the_size_that_was_asked_for() {
    let stdio = Stdio { terminal: true, ..Stdio::default() };
    let size = Some(TerminalSize { rows: 24, columns: 80 });
    let (io, opened) = open(&stdio, size, &identity(), &Reaper::default()).unwrap();
    assert!(matches!(io, ProcessIo::Terminal { size: Some((24, 80)) }));
    assert!(matches!(opened.attach(None, std::future::pending()), Err(IoError::NoTerminal)));
}
