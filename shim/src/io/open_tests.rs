use std::{fs, io::Read, os::fd::AsFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::{CWD, mknodat},
};

use super::*;

fn fifo(directory: &Path) -> std::path::PathBuf {
    let path = directory.join("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o700), 0).unwrap();
    path
}

fn flags(descriptor: &OwnedFd) -> OFlags {
    rustix::fs::fcntl_getfl(descriptor).unwrap()
}

/// As containerd opens what it reads: at once, whether there is a writer or not.
fn early_reader(path: &Path) -> fs::File {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).unwrap().into()
}

#[test]
fn an_output_that_nobody_reads_is_opened_after_a_while_and_blocks_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(directory.path());
    let unread = output_within("stdout", &path, Duration::from_millis(1)).unwrap();
    assert_eq!(rustix::io::write(&unread.process, b"x").unwrap(), 1);
    let read = output("stdout", &path).unwrap();
    for ends in [unread, read] {
        assert!(!flags(&ends.process).contains(OFlags::NONBLOCK));
    }
}

#[test]
fn a_reader_that_is_late_still_comes_before_the_processs_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(directory.path());
    let (ended, end) = mpsc::channel();
    let short_process = thread::spawn({
        let path = path.clone();
        move || {
            let ends = output("stdout", &path).unwrap();
            rustix::io::write(&ends.process, b"all").unwrap();
            drop(ends.process);
            // It may already be over for the test.
            let _sent = ended.send(());
            ends.kept
        }
    });
    // Were the process gone by now, the open below would wait for ever.
    assert_eq!(end.recv_timeout(Duration::from_millis(100)), Err(RecvTimeoutError::Timeout));
    let mut text = String::new();
    fs::File::open(&path).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "all");
    drop(short_process.join().unwrap());
}

#[test]
fn a_reader_that_comes_back_finds_what_was_written_meanwhile_and_then_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(directory.path());
    let mut reader = early_reader(&path);
    let ends = output("stdout", &path).unwrap();
    rustix::io::write(&ends.process, b"one ").unwrap();
    let mut first = [0; 4];
    reader.read_exact(&mut first).unwrap();
    drop(reader);
    // Would be EPIPE without the end that is kept.
    rustix::io::write(&ends.process, b"two").unwrap();
    let mut reader = fs::File::open(&path).unwrap();
    drop(ends.process);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!((&first, rest.as_str()), (b"one ", "two"));
}

#[test]
fn an_input_is_opened_without_a_writer_and_ends_when_all_writers_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(directory.path());
    let ends = input(&path).unwrap();
    assert!(!flags(&ends.process).contains(OFlags::NONBLOCK));
    let client = fs::OpenOptions::new().write(true).open(&path).unwrap();
    rustix::io::write(&client, b"in").unwrap();
    drop(client);
    let mut buffer = [0_u8; 8];
    assert_eq!(rustix::io::read(&ends.process, &mut buffer).unwrap(), 2);
    // A client that went away has not ended the input.
    let mut poll = [PollFd::from_borrowed_fd(ends.process.as_fd(), PollFlags::IN)];
    let moment = Timespec::try_from(Duration::from_millis(1)).unwrap();
    assert_eq!(rustix::event::poll(&mut poll, Some(&moment)).unwrap(), 0);
    drop(ends.kept);
    assert_eq!(rustix::io::read(&ends.process, &mut buffer).unwrap(), 0);
}

#[test]
fn a_log_file_is_made_with_its_directory_and_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/log");
    rustix::io::write(log_file(&path).unwrap(), b"one").unwrap();
    rustix::io::write(log_file(&path).unwrap(), b"two").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "onetwo");
}

#[test]
fn what_is_no_stream_is_refused_by_its_path_and_kind() {
    let directory = tempfile::tempdir().unwrap();
    let error = output("stderr", directory.path()).unwrap_err().to_string();
    assert!(error.contains("directory") && error.contains("stderr"), "{error}");
    let error = input(&directory.path().join("missing")).unwrap_err();
    assert!(
        matches!(&error, IoError::Open { stream: "stdin", source, .. } if *source == rustix::io::Errno::NOENT)
    );
}
