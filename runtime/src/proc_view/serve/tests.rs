//! Through the kernel's FUSE, where the tests run as root on a machine that has it.

use super::*;
use crate::proc_view::figures::CpuList;
use crate::proc_view::{ShownCpus, ViewFile};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, pread, read};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
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

/// A container's directory in one of the file systems.
pub(super) struct Files {
    pub(super) directory: OwnedFd,
}

impl Files {
    pub(super) fn of(tree: BorrowedFd<'_>, directory: Directory) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self { directory: openat(tree, directory.name(), flags, Mode::empty()).unwrap() }
    }
}

/// `None` where there is no FUSE or no right to it.
pub(super) fn started<T: Texts + Clone>() -> Option<Server<T>> {
    match Server::start() {
        Err(error) if matches!(error.errno, Errno::NOENT | Errno::NODEV | Errno::PERM | Errno::ACCESS) => {
            None
        }
        server => Some(server.unwrap()),
    }
}

/// A directory with these texts.
pub(super) fn add<T: Texts + Clone>(server: &Server<T>, texts: T) -> Directory {
    let directory = server.add().unwrap();
    server.fill(directory, texts);
    directory
}

fn counting(cpus: u32) -> Counting {
    Counting { made: Arc::default(), cpus: Arc::new(AtomicU32::new(cpus)), asked: Arc::default() }
}

fn served() -> Option<(Files, Server<Counting>)> {
    let server = started()?;
    let directory = add(&server, counting(0));
    Some((Files::of(server.live(), directory), server))
}

/// What lasts, served.
struct Lasting {
    files: Files,
    server: Server<Counting>,
    directory: Directory,
    texts: Counting,
}

/// With this many CPUs, until that is changed.
fn lasting(cpus: u32) -> Option<Lasting> {
    let server = started()?;
    let texts = counting(cpus);
    let directory = add(&server, texts.clone());
    Some(Lasting { files: Files::of(server.lasting(), directory), server, directory, texts })
}

impl Lasting {
    /// An update that the server is told of.
    fn update(&self, cpus: u32) {
        self.texts.cpus.store(cpus, Ordering::SeqCst);
        self.server.invalidate(self.directory);
    }
}

pub(super) fn content(files: &Files, name: &str) -> String {
    String::from_utf8(read_in_pieces(&open_file(files, name).unwrap(), 4096)).unwrap()
}

pub(super) fn names(files: &Files, directory: &str) -> Vec<String> {
    let directory = open_file(files, directory).unwrap();
    let entries = rustix::fs::Dir::read_from(&directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect()
}

pub(super) fn open_file(files: &Files, name: &str) -> Result<OwnedFd, Errno> {
    openat(&files.directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
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
    let Some((files, _server)) = served() else { return };
    let file = open_file(&files, "stat").unwrap();
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
    let Some((files, _server)) = served() else { return };
    for size in [1, 7, 4096, 4097, 1 << 20] {
        let file = open_file(&files, "vmstat").unwrap();
        let text = String::from_utf8(read_in_pieces(&file, size)).unwrap();
        let number = text.lines().next().unwrap().strip_prefix("vmstat ").unwrap();
        assert_eq!(text.lines().count(), 1001, "{size}");
        assert!(text.lines().skip(1).all(|line| line.ends_with(&format!(" of {number}"))), "{size}");
    }
}

#[test]
fn readers_do_not_disturb_each_other() {
    let Some((files, _server)) = served() else { return };
    let (first, second) = (open_file(&files, "vmstat").unwrap(), open_file(&files, "vmstat").unwrap());
    let begin = read_some(&first, 9);
    assert_eq!(read_some(&second, 9), b"vmstat 2\n");
    assert_eq!(begin, b"vmstat 1\n");
    assert!(read_in_pieces(&first, 1000).ends_with(b" of 1\n"));
    assert!(read_in_pieces(&second, 1000).ends_with(b" of 2\n"));
}

#[test]
fn names_modes_and_errors_are_those_of_a_read_only_directory() {
    let Some((files, _server)) = served() else { return };
    assert_eq!(open_file(&files, "nothing").unwrap_err(), Errno::NOENT);
    let writing = openat(&files.directory, "stat", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    assert_eq!(writing.unwrap_err(), Errno::ROFS);
    let mut buffer = [0; 16];
    assert_eq!(read(open_file(&files, "swaps").unwrap(), &mut buffer), Err(Errno::IO));
    let stat = rustix::fs::statat(&files.directory, "meminfo", rustix::fs::AtFlags::empty()).unwrap();
    assert_eq!((stat.st_mode, stat.st_size, stat.st_uid), (0o100_444, 8192, 0));
    let names = names(&files, ".");
    assert_eq!(names.len(), ViewFile::ALL.iter().filter(|file| !file.is_lasting()).count());
    assert!(names.iter().any(|name| name == "meminfo"), "{names:?}");
}

#[test]
fn many_readers_and_descriptors_are_served() {
    let Some((files, _server)) = served() else { return };
    let held: Vec<_> = (0..300).map(|_| open_file(&files, "uptime").unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let file = open_file(&files, "vmstat").unwrap();
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
    let Some((files, server)) = served() else { return };
    let file = open_file(&files, "stat").unwrap();
    drop(server);
    let mut buffer = [0; 16];
    assert_eq!(read(&file, &mut buffer), Err(Errno::NOTCONN));
    assert_eq!(open_file(&files, "stat").unwrap_err(), Errno::NOTCONN);
}

#[test]
fn the_end_of_one_container_is_an_error_for_its_readers_and_nothing_for_others() {
    let Some(server) = started() else { return };
    let (first, second) = (add(&server, counting(1)), add(&server, counting(2)));
    let files = [first, second].map(|directory| Files::of(server.live(), directory));
    let lasting = [first, second].map(|directory| Files::of(server.lasting(), directory));
    let held = [0, 1].map(|which| open_file(&files[which], "stat").unwrap());
    assert_eq!(content(&lasting[0], "cpu/online"), "0-0\n");
    server.remove(first);
    let mut buffer = [0; 16];
    assert_eq!(read(&held[0], &mut buffer), Err(Errno::NOTCONN));
    assert_eq!(open_file(&files[0], "uptime").unwrap_err(), Errno::NOTCONN);
    for tree in [server.live(), server.lasting()] {
        let again = openat(tree, first.name(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        assert_eq!(again.unwrap_err(), Errno::NOENT, "the kernel has forgotten the name");
    }
    assert_eq!(read_some(&held[1], 100), b"stat 1\n");
    assert_eq!(content(&lasting[1], "cpu/online"), "0-1\n");
}

#[test]
fn a_directory_that_is_nobodys_is_known_and_has_no_texts_before_it_is_somebodys() {
    let Some(server) = started() else { return };
    let directory = server.add().unwrap();
    server.look_up(directory).unwrap();
    let live = Files::of(server.live(), directory);
    let lasting = Files::of(server.lasting(), directory);
    assert!(names(&live, ".").contains(&"meminfo".to_owned()));
    assert_eq!(open_file(&live, "stat").unwrap_err(), Errno::NOTCONN);
    assert_eq!(read(open_file(&lasting, "cpuinfo").unwrap(), &mut [0; 16]), Err(Errno::NOTCONN));
    server.fill(directory, counting(3));
    assert_eq!(content(&live, "stat"), "stat 1\n");
    assert_eq!(content(&lasting, "cpuinfo").lines().count(), 3);
    assert_eq!(content(&lasting, "cpu/online"), "0-2\n");
}

#[test]
fn containers_see_their_own_texts_and_no_list_of_the_others() {
    let Some(server) = started() else { return };
    let directories = [1, 12].map(|cpus| add(&server, counting(cpus)));
    for directory in directories {
        assert_eq!(
            content(&Files::of(server.live(), directory), "stat"),
            "stat 1\n",
            "each counts for itself"
        );
    }
    let online = directories.map(|directory| content(&Files::of(server.lasting(), directory), "cpu/online"));
    assert_eq!(online, ["0-0\n", "0-11\n"]);
    for tree in [server.live(), server.lasting()] {
        let root = Files { directory: tree.try_clone_to_owned().unwrap() };
        assert_eq!(names(&root, "."), [""; 0]);
    }
}

#[test]
fn a_server_with_readers_who_never_pause_ends_when_it_is_dropped() {
    let Some((files, server)) = served() else { return };
    let reads = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            let file = open_file(&files, "stat").unwrap();
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
fn a_tree_to_take_apart_is_of_the_same_file_system_on_every_kernel() {
    let Some(mut server) = started() else { return };
    let directory = add(&server, counting(0));
    let device = |tree: BorrowedFd<'_>| rustix::fs::fstat(tree).unwrap().st_dev;
    for parts in [server.live.parts, Parts::OneForEach, Parts::OneForAll] {
        server.live.parts = parts;
        server.lasting.parts = parts;
        let (live, lasting) = (server.live_to_take_apart().unwrap(), server.lasting_to_take_apart().unwrap());
        assert_eq!(device(live.as_fd()), device(server.live()));
        assert_eq!(device(lasting.as_fd()), device(server.lasting()));
        assert!(content(&Files::of(live.as_fd(), directory), "stat").starts_with("stat "));
    }
}

#[test]
fn readers_of_one_file_system_are_served_on_when_the_other_was_cut_off_and_nobody_new_is() {
    let Some(server) = started() else { return };
    let directory = add(&server, counting(2));
    let (live, lasting) = (Files::of(server.live(), directory), Files::of(server.lasting(), directory));
    let connection = rustix::fs::minor(rustix::fs::fstat(server.live()).unwrap().st_dev);
    let control = fsopen("fusectl", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_create(&control).unwrap();
    let control = fsmount(&control, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap();
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let abort = openat(&control, format!("{connection}/abort"), flags, Mode::empty()).unwrap();
    rustix::io::write(&abort, b"1").unwrap();
    assert_eq!(open_file(&live, "stat").unwrap_err(), Errno::NOTCONN);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while server.serves() {
        assert!(std::time::Instant::now() < deadline, "nobody has noticed");
        std::thread::yield_now();
    }
    assert!(server.add().is_none());
    assert_eq!(content(&lasting, "cpu/online"), "0-1\n");
}

#[test]
fn what_lasts_is_asked_for_once_and_again_after_an_update() {
    let Some(lasting) = lasting(4) else { return };
    let files = &lasting.files;
    assert_eq!(content(files, "cpu/online"), "0-3\n");
    let held = open_file(files, "cpu/online").unwrap();
    lasting.update(2);
    assert_eq!(content(files, "cpu/online"), "0-1\n");
    assert_eq!(read_some(&held, 100), b"0-1\n", "a descriptor from before shows it, too");
    lasting.update(16);
    assert_eq!(content(files, "cpu/online"), "0-15\n");
    assert_eq!(content(files, "cpuinfo").lines().count(), 16);
    lasting.update(1000);
    assert_eq!(content(files, "cpuinfo").lines().count(), 1000, "more than two pages");
}

#[test]
fn readers_of_what_lasts_are_served_by_the_kernel() {
    let Some(lasting) = lasting(4) else { return };
    let files = &lasting.files;
    for _ in 0..10_000 {
        assert_eq!(content(files, "cpu/online"), "0-3\n");
    }
    // Once a second, of an open, two reads and a close each time.
    let asked = lasting.texts.asked.load(Ordering::SeqCst);
    assert!(asked < 1_000, "{asked}");
}

#[test]
fn a_change_that_nobody_told_of_is_found() {
    let Some(lasting) = lasting(3) else { return };
    let files = &lasting.files;
    let file = open_file(files, "cpu/online").unwrap();
    assert_eq!(read_some(&file, 100), b"0-2\n");
    // Of the same length.
    lasting.texts.cpus.store(4, Ordering::SeqCst);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let mut buffer = [0; 16];
    while pread(&file, &mut buffer, 0) != Ok(4) || !buffer.starts_with(b"0-3\n") {
        assert!(std::time::Instant::now() < deadline, "{buffer:?}");
        std::thread::yield_now();
    }
}

#[test]
fn nothing_is_looked_at_before_there_is_a_reader() {
    let Some(lasting) = lasting(2) else { return };
    let files = &lasting.files;
    let Counting { made, asked, .. } = &lasting.texts;
    // As when the container is made.
    for name in ["cpuinfo", "cpu"] {
        openat(&files.directory, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    }
    assert_eq!((made.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (0, 0));
    let size = rustix::fs::statat(&files.directory, "cpuinfo", rustix::fs::AtFlags::empty()).unwrap().st_size;
    assert_eq!(usize::try_from(size).unwrap(), content(files, "cpuinfo").len());
}

#[test]
fn there_is_a_directory_for_each_cpu() {
    let Some(lasting) = lasting(2) else { return };
    let files = &lasting.files;
    let directories = |files: &Files| -> Vec<_> {
        let is_cpu = |name: &String| name.strip_prefix("cpu").is_some_and(|rest| rest.parse::<u32>().is_ok());
        names(files, "cpu").into_iter().filter(is_cpu).collect()
    };
    assert_eq!(directories(files), ["cpu0", "cpu1"]);
    assert_eq!(content(files, "cpu/cpu1/topology/core_id"), "1\n");
    assert_eq!(content(files, "cpu/cpu1/topology/package_cpus"), "3\n");
    assert_eq!(content(files, "cpu/cpu1/online"), "1\n");
    assert_eq!(open_file(files, "cpu/cpu2").unwrap_err(), Errno::NOENT);
    lasting.update(40);
    assert_eq!(directories(files).len(), 40);
    assert_eq!(content(files, "cpu/cpu39/topology/package_cpus_list"), "0-39\n");
    for name in ["cpu", "cpu/cpu0", "cpu/cpu0/topology"] {
        let stat = rustix::fs::statat(&files.directory, name, rustix::fs::AtFlags::empty()).unwrap();
        assert_eq!(stat.st_mode, 0o040_555, "{name}");
    }
}

#[test]
fn what_the_machine_says_of_itself_is_the_hosts() {
    let Some(lasting) = lasting(2) else { return };
    let files = &lasting.files;
    for name in ["kernel_max", "modalias", "cpu0/cache/index0/size", "vulnerabilities/meltdown"] {
        let host = std::fs::read_to_string(std::path::Path::new("/sys/devices/system/cpu").join(name));
        let shown = open_file(files, &format!("cpu/{name}"));
        match host {
            Ok(host) => assert_eq!(String::from_utf8(read_in_pieces(&shown.unwrap(), 4096)).unwrap(), host),
            Err(_) => assert_eq!(shown.unwrap_err(), Errno::NOENT, "{name}"),
        }
    }
    for name in ["cpufreq", "hotplug", "uevent", "cpu0/cpufreq", "smt"] {
        assert_eq!(open_file(files, &format!("cpu/{name}")).unwrap_err(), Errno::NOENT, "{name}");
    }
}
