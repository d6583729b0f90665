//! Through the kernel's FUSE, where the tests run as root on a machine that has it.

use super::*;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, pread, read};
use std::fmt::Write as _;

/// Texts that count how often they were made.
struct Counting(u32);

impl Texts for Counting {
    fn write(&mut self, file: ViewFile, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.0 += 1;
        let mut text = format!("{} {}\n", file.name(), self.0);
        if file == ViewFile::CpuInfo {
            for line in 0..1000 {
                writeln!(text, "line {line} of {}", self.0).unwrap();
            }
        }
        if file == ViewFile::Swaps {
            return Err(Errno::IO);
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// `None` where there is no FUSE or no right to it.
fn served() -> Option<(FuseMount, Server)> {
    let mount = match FuseMount::new() {
        Err(error) if matches!(error.errno, Errno::NOENT | Errno::NODEV | Errno::PERM | Errno::ACCESS) => {
            return None;
        }
        mount => mount.unwrap(),
    };
    let connection = mount.connection.try_clone().unwrap();
    Some((mount, Server::start(connection, Counting(0)).unwrap()))
}

fn open_file(mount: &FuseMount, name: &str) -> Result<OwnedFd, Errno> {
    openat(&mount.tree, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn read_some(file: &OwnedFd, size: usize) -> Vec<u8> {
    let mut buffer = vec![0; size];
    let count = read(file, &mut *buffer).unwrap();
    buffer.truncate(count);
    buffer
}

fn read_in_pieces(file: &OwnedFd, size: usize) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let piece = read_some(file, size);
        if piece.is_empty() {
            return whole;
        }
        whole.extend(piece);
    }
}

#[test]
fn a_descriptor_that_is_read_from_its_start_again_shows_a_new_text() {
    let Some((mount, _server)) = served() else { return };
    let file = open_file(&mount, "stat").unwrap();
    assert_eq!(read_some(&file, 4096), b"stat 1\n");
    assert_eq!(read_some(&file, 4096), b"");
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).unwrap();
    assert_eq!(read_some(&file, 4096), b"stat 2\n");
    let mut buffer = [0; 3];
    assert_eq!(pread(&file, &mut buffer, 2), Ok(3));
    assert_eq!(&buffer, b"at ");
}

#[test]
fn pieces_of_any_size_are_of_one_text() {
    let Some((mount, _server)) = served() else { return };
    for size in [1, 7, 4096, 4097, 1 << 20] {
        let file = open_file(&mount, "cpuinfo").unwrap();
        let text = String::from_utf8(read_in_pieces(&file, size)).unwrap();
        let number = text.lines().next().unwrap().strip_prefix("cpuinfo ").unwrap();
        assert_eq!(text.lines().count(), 1001, "{size}");
        assert!(text.lines().skip(1).all(|line| line.ends_with(&format!(" of {number}"))), "{size}");
    }
}

#[test]
fn readers_do_not_disturb_each_other() {
    let Some((mount, _server)) = served() else { return };
    let (first, second) = (open_file(&mount, "cpuinfo").unwrap(), open_file(&mount, "cpuinfo").unwrap());
    let begin = read_some(&first, 10);
    assert_eq!(read_some(&second, 10), b"cpuinfo 2\n");
    assert_eq!(begin, b"cpuinfo 1\n");
    assert!(read_in_pieces(&first, 1000).ends_with(b" of 1\n"));
    assert!(read_in_pieces(&second, 1000).ends_with(b" of 2\n"));
}

#[test]
fn names_modes_and_errors_are_those_of_a_read_only_directory() {
    let Some((mount, _server)) = served() else { return };
    assert_eq!(open_file(&mount, "nothing").unwrap_err(), Errno::NOENT);
    let writing = openat(&mount.tree, "stat", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    assert_eq!(writing.unwrap_err(), Errno::ROFS);
    let mut buffer = [0; 16];
    assert_eq!(read(open_file(&mount, "swaps").unwrap(), &mut buffer), Err(Errno::IO));
    let stat = rustix::fs::statat(&mount.tree, "meminfo", rustix::fs::AtFlags::empty()).unwrap();
    assert_eq!((stat.st_mode, stat.st_size, stat.st_uid), (0o100_444, 0, 0));
    let directory = open_file(&mount, ".").unwrap();
    let names: Vec<_> = rustix::fs::Dir::read_from(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), ViewFile::ALL.len());
    assert!(names.iter().any(|name| name == "meminfo"), "{names:?}");
}

#[test]
fn many_readers_and_descriptors_are_served() {
    let Some((mount, _server)) = served() else { return };
    let held: Vec<_> = (0..300).map(|_| open_file(&mount, "uptime").unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let file = open_file(&mount, "cpuinfo").unwrap();
                    assert_eq!(
                        read_in_pieces(&file, 4096).iter().filter(|byte| **byte == b'\n').count(),
                        1001
                    );
                }
            });
        }
    });
    assert!(held.iter().all(|file| read_some(file, 100).starts_with(b"uptime ")));
}

#[test]
fn the_end_of_the_server_is_an_error_at_once_and_not_a_wait() {
    let Some((mount, server)) = served() else { return };
    let file = open_file(&mount, "stat").unwrap();
    drop(server);
    drop(mount.connection);
    let mut buffer = [0; 16];
    assert_eq!(read(&file, &mut buffer), Err(Errno::NOTCONN));
    let opened = openat(&mount.tree, "stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    assert_eq!(opened.unwrap_err(), Errno::NOTCONN);
}

#[test]
fn the_end_of_the_last_mount_ends_the_thread() {
    let Some((mount, mut server)) = served() else { return };
    drop(mount.connection);
    drop(mount.tree);
    server.thread.take().unwrap().join().unwrap();
}
