//! Through the kernel's FUSE, where the tests run as root on a machine that has it.

use super::*;
use crate::proc_view::figures::CpuList;
use crate::proc_view::{ShownCpus, ViewFile};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, pread, read};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

/// Texts that count how often they were made, for as many CPUs as a test says.
#[derive(Clone)]
struct Counting {
    made: Arc<AtomicU32>,
    cpus: Arc<AtomicU32>,
    /// How often anything was asked for.
    asked: Arc<AtomicU32>,
}

impl Texts for Counting {
    fn write(&mut self, file: ViewFile, out: &mut Vec<u8>) -> Result<(), Errno> {
        let made = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        let mut text = format!("{} {made}\n", file.name());
        if file == ViewFile::VmStat {
            for line in 0..1000 {
                writeln!(text, "line {line} of {made}").unwrap();
            }
        }
        if file == ViewFile::Swaps {
            return Err(Errno::IO);
        }
        if file == ViewFile::CpusOnline {
            text = format!("0-{}\n", self.cpus.load(Ordering::SeqCst) - 1);
        }
        if file == ViewFile::CpuInfo {
            text = "processor\n".repeat(self.cpus.load(Ordering::SeqCst).try_into().unwrap());
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn cpus(&mut self) -> Result<ShownCpus, Errno> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let count = self.cpus.load(Ordering::SeqCst);
        Ok(ShownCpus { allowed: CpuList::first(count), count })
    }
}

/// `None` where there is no FUSE or no right to it.
pub(super) fn mounted() -> Option<FuseMount> {
    match FuseMount::new(Permissions::ByMode) {
        Err(error) if matches!(error.errno, Errno::NOENT | Errno::NODEV | Errno::PERM | Errno::ACCESS) => {
            None
        }
        mount => Some(mount.unwrap()),
    }
}

fn served() -> Option<(FuseMount, Server)> {
    let mount = mounted()?;
    let live = Some(mount.connection.try_clone().unwrap());
    let texts = Counting { made: Arc::default(), cpus: Arc::default(), asked: Arc::default() };
    Some((mount, Server::start(Connections { live, lasting: None }, texts).unwrap()))
}

/// With this many CPUs, until that is changed.
fn lasting(cpus: u32) -> Option<(FuseMount, Server, Arc<AtomicU32>)> {
    let mount = mounted()?;
    let lasting = Some(mount.connection.try_clone().unwrap());
    let cpus = Arc::new(AtomicU32::new(cpus));
    let texts = Counting { made: Arc::default(), cpus: Arc::clone(&cpus), asked: Arc::default() };
    Some((mount, Server::start(Connections { live: None, lasting }, texts).unwrap(), cpus))
}

pub(super) fn content(mount: &FuseMount, name: &str) -> String {
    String::from_utf8(read_in_pieces(&open_file(mount, name).unwrap(), 4096)).unwrap()
}

pub(super) fn names(mount: &FuseMount, directory: &str) -> Vec<String> {
    let directory = open_file(mount, directory).unwrap();
    let entries = rustix::fs::Dir::read_from(&directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect()
}

pub(super) fn open_file(mount: &FuseMount, name: &str) -> Result<OwnedFd, Errno> {
    openat(&mount.tree, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn read_some(file: &OwnedFd, size: usize) -> Vec<u8> {
    let mut buffer = vec![0; size];
    let count = read(file, &mut *buffer).unwrap();
    buffer.truncate(count);
    buffer
}

pub(super) fn read_in_pieces(file: &OwnedFd, size: usize) -> Vec<u8> {
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
        let file = open_file(&mount, "vmstat").unwrap();
        let text = String::from_utf8(read_in_pieces(&file, size)).unwrap();
        let number = text.lines().next().unwrap().strip_prefix("vmstat ").unwrap();
        assert_eq!(text.lines().count(), 1001, "{size}");
        assert!(text.lines().skip(1).all(|line| line.ends_with(&format!(" of {number}"))), "{size}");
    }
}

#[test]
fn readers_do_not_disturb_each_other() {
    let Some((mount, _server)) = served() else { return };
    let (first, second) = (open_file(&mount, "vmstat").unwrap(), open_file(&mount, "vmstat").unwrap());
    let begin = read_some(&first, 9);
    assert_eq!(read_some(&second, 9), b"vmstat 2\n");
    assert_eq!(begin, b"vmstat 1\n");
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
    assert_eq!((stat.st_mode, stat.st_size, stat.st_uid), (0o100_444, 8192, 0));
    let names = names(&mount, ".");
    assert_eq!(names.len(), ViewFile::ALL.iter().filter(|file| !file.is_lasting()).count());
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
                    let file = open_file(&mount, "vmstat").unwrap();
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
fn a_server_with_readers_who_never_pause_ends_when_it_is_dropped() {
    let Some((mount, server)) = served() else { return };
    let FuseMount { connection, tree } = mount;
    drop(connection);
    let reads = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            let file = openat(&tree, "stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
            let reads = &reads;
            scope.spawn(move || {
                while pread(&file, &mut [0; 64], 0).is_ok() {
                    reads.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        while reads.load(Ordering::SeqCst) < 10_000 {
            std::thread::yield_now();
        }
        drop(server);
    });
}

#[test]
fn more_mounts_of_a_view_are_of_the_same_file_system() {
    let Some((mount, server)) = served() else { return };
    let (live, lasting) = server.mount_again().unwrap();
    assert!(lasting.is_none());
    let again = FuseMount { connection: mount.connection.try_clone().unwrap(), tree: live.unwrap() };
    let device = |mount: &FuseMount| rustix::fs::fstat(&mount.tree).unwrap().st_dev;
    assert_eq!(device(&again), device(&mount));
    drop(mount);
    assert_eq!(content(&again, "stat"), "stat 1\n");
}

#[test]
fn the_end_of_the_last_mount_ends_the_thread() {
    let Some((mount, mut server)) = served() else { return };
    drop(mount.connection);
    drop(mount.tree);
    server.thread.take().unwrap().join().unwrap();
}

#[test]
fn what_lasts_is_asked_for_once_and_again_after_an_update() {
    let Some((mount, server, cpus)) = lasting(4) else { return };
    assert_eq!(content(&mount, "cpu/online"), "0-3\n");
    let held = open_file(&mount, "cpu/online").unwrap();
    cpus.store(2, Ordering::SeqCst);
    server.invalidate();
    assert_eq!(content(&mount, "cpu/online"), "0-1\n");
    assert_eq!(read_some(&held, 100), b"0-1\n", "a descriptor from before shows it, too");
    cpus.store(16, Ordering::SeqCst);
    server.invalidate();
    assert_eq!(content(&mount, "cpu/online"), "0-15\n");
    assert_eq!(content(&mount, "cpuinfo").lines().count(), 16);
    cpus.store(1000, Ordering::SeqCst);
    server.invalidate();
    assert_eq!(content(&mount, "cpuinfo").lines().count(), 1000, "more than two pages");
}

#[test]
fn readers_of_what_lasts_are_served_by_the_kernel() {
    let Some(mount) = mounted() else { return };
    let lasting = Some(mount.connection.try_clone().unwrap());
    let texts = Counting { made: Arc::default(), cpus: Arc::new(AtomicU32::new(4)), asked: Arc::default() };
    let asked = Arc::clone(&texts.asked);
    let _server = Server::start(Connections { live: None, lasting }, texts).unwrap();
    for _ in 0..10_000 {
        assert_eq!(content(&mount, "cpu/online"), "0-3\n");
    }
    // Once a second, of an open, two reads and a close each time.
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked < 1_000, "{asked}");
}

#[test]
fn a_change_that_nobody_told_of_is_found() {
    let Some((mount, _server, cpus)) = lasting(3) else { return };
    let file = open_file(&mount, "cpu/online").unwrap();
    assert_eq!(read_some(&file, 100), b"0-2\n");
    // Of the same length.
    cpus.store(4, Ordering::SeqCst);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let mut buffer = [0; 16];
    while pread(&file, &mut buffer, 0) != Ok(4) || !buffer.starts_with(b"0-3\n") {
        assert!(std::time::Instant::now() < deadline, "{buffer:?}");
        std::thread::yield_now();
    }
}

#[test]
fn nothing_is_looked_at_before_there_is_a_reader() {
    let Some(mount) = mounted() else { return };
    let lasting = Some(mount.connection.try_clone().unwrap());
    let texts = Counting { made: Arc::default(), cpus: Arc::new(AtomicU32::new(2)), asked: Arc::default() };
    let (made, asked) = (Arc::clone(&texts.made), Arc::clone(&texts.asked));
    let _server = Server::start(Connections { live: None, lasting }, texts).unwrap();
    // As when the container is made.
    for name in ["cpuinfo", "cpu"] {
        openat(&mount.tree, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    }
    assert_eq!((made.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (0, 0));
    let size = rustix::fs::statat(&mount.tree, "cpuinfo", rustix::fs::AtFlags::empty()).unwrap().st_size;
    assert_eq!(usize::try_from(size).unwrap(), content(&mount, "cpuinfo").len());
}

#[test]
fn there_is_a_directory_for_each_cpu() {
    let Some((mount, server, cpus)) = lasting(2) else { return };
    let directories = |mount: &FuseMount| -> Vec<_> {
        let is_cpu = |name: &String| name.strip_prefix("cpu").is_some_and(|rest| rest.parse::<u32>().is_ok());
        names(mount, "cpu").into_iter().filter(is_cpu).collect()
    };
    assert_eq!(directories(&mount), ["cpu0", "cpu1"]);
    assert_eq!(content(&mount, "cpu/cpu1/topology/core_id"), "1\n");
    assert_eq!(content(&mount, "cpu/cpu1/topology/package_cpus"), "3\n");
    assert_eq!(content(&mount, "cpu/cpu1/online"), "1\n");
    assert_eq!(open_file(&mount, "cpu/cpu2").unwrap_err(), Errno::NOENT);
    cpus.store(40, Ordering::SeqCst);
    server.invalidate();
    assert_eq!(directories(&mount).len(), 40);
    assert_eq!(content(&mount, "cpu/cpu39/topology/package_cpus_list"), "0-39\n");
    for name in ["cpu", "cpu/cpu0", "cpu/cpu0/topology"] {
        let stat = rustix::fs::statat(&mount.tree, name, rustix::fs::AtFlags::empty()).unwrap();
        assert_eq!(stat.st_mode, 0o040_555, "{name}");
    }
}

#[test]
fn what_the_machine_says_of_itself_is_the_hosts() {
    let Some((mount, _server, _cpus)) = lasting(2) else { return };
    for name in ["kernel_max", "modalias", "cpu0/cache/index0/size", "vulnerabilities/meltdown"] {
        let host = std::fs::read_to_string(std::path::Path::new("/sys/devices/system/cpu").join(name));
        let shown = open_file(&mount, &format!("cpu/{name}"));
        match host {
            Ok(host) => assert_eq!(String::from_utf8(read_in_pieces(&shown.unwrap(), 4096)).unwrap(), host),
            Err(_) => assert_eq!(shown.unwrap_err(), Errno::NOENT, "{name}"),
        }
    }
    for name in ["cpufreq", "hotplug", "uevent", "cpu0/cpufreq", "smt"] {
        assert_eq!(open_file(&mount, &format!("cpu/{name}")).unwrap_err(), Errno::NOENT, "{name}");
    }
}

#[test]
fn both_mounts_are_served_until_the_last_is_gone() {
    let (Some(first), Some(second)) = (mounted(), mounted()) else { return };
    let (live, live_tree) = first.into_parts();
    let connections = Connections { live: Some(live), lasting: Some(second.connection.try_clone().unwrap()) };
    let texts = Counting { made: Arc::default(), cpus: Arc::new(AtomicU32::new(2)), asked: Arc::default() };
    let mut server = Server::start(connections, texts).unwrap();
    drop(live_tree);
    assert_eq!(content(&second, "cpu/online"), "0-1\n");
    drop(second);
    server.thread.take().unwrap().join().unwrap();
}
