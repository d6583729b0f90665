//! The attendant with the kernel: a thread loads the filter, and programs that it starts call.

use super::{Attendant, filter};
use crate::proc_view::{ShownCpus, Texts, ViewFile};
use crate::sys::seccomp_set_filter;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::thread::set_no_new_privs;
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Texts that never change, or none.
struct Fixed {
    works: bool,
}

impl Texts for Fixed {
    fn write(&mut self, file: ViewFile, out: &mut Vec<u8>) -> Result<(), Errno> {
        if !self.works {
            return Err(Errno::IO);
        }
        out.extend_from_slice(match file {
            ViewFile::MemInfo => b"MemTotal: 65536 kB\nMemFree: 1024 kB\nShmem: 7 kB\nSwapTotal: 2048 kB\n",
            ViewFile::LoadAverage => b"0.50 0.25 0.00 1/17 17\n",
            ViewFile::Uptime => b"41.20 1.00\n",
            other => panic!("{other:?} is not needed"),
        });
        Ok(())
    }

    fn cpus(&mut self) -> Result<ShownCpus, Errno> {
        Err(Errno::NOSYS)
    }
}

fn procfs() -> OwnedFd {
    open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn attendant(works: bool) -> Attendant<Fixed> {
    Attendant::new(Fixed { works }, procfs()).unwrap()
}

/// A Perl program that runs under the filter once somebody has the listener.
struct Caller {
    go: mpsc::Sender<()>,
    thread: JoinHandle<String>,
}

impl Caller {
    fn of(program: &str) -> (Self, OwnedFd) {
        let (sender, listener) = mpsc::channel();
        let (go, going) = mpsc::channel::<()>();
        let program = program.to_owned();
        let thread = std::thread::spawn(move || {
            let filter = filter().unwrap();
            set_no_new_privs(true).unwrap();
            sender.send(seccomp_set_filter(&filter.program, filter.flags.bits()).unwrap().unwrap()).unwrap();
            going.recv().unwrap();
            let output = Command::new("perl").args(["-e", &program]).output().unwrap();
            assert!(output.stderr.is_empty(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        });
        (Self { go, thread }, listener.recv().unwrap())
    }

    /// What it prints.
    fn run(self) -> String {
        self.go.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

/// Runs a program; `given` gets the listener before.
fn under_the_filter(given: impl FnOnce(OwnedFd), program: &str) -> String {
    let (caller, listener) = Caller::of(program);
    given(listener);
    caller.run()
}

/// `$n` is the number of the call; it prints its result, and what is in the structure.
const CALL: &str = r#"
    sub call { my $b = "\xff" x 112; my $r = syscall($n, $b); print "$r ", $r < 0 ? 0 + $! : join(",", unpack("qQ9S", $b)), "\n"; }
"#;

fn calling(program: &str) -> String {
    let number = if cfg!(target_arch = "x86_64") { 99 } else { 179 };
    format!("$n = {number}; {CALL} {program}")
}

#[test]
fn every_process_that_descends_from_the_first_is_answered() {
    let attendant = attendant(true);
    let printed = under_the_filter(
        |listener| attendant.attend(listener).unwrap(),
        &calling("$| = 1; call(); if (!fork()) { call(); exit } wait; call();"),
    );
    let figures = "0 42,32768,16384,0,67108864,1048576,7168,0,2097152,0,17\n";
    assert_eq!(printed, figures.repeat(3));
}

#[test]
fn what_cannot_be_told_the_kernel_tells() {
    let attendant = attendant(false);
    let printed = under_the_filter(|listener| attendant.attend(listener).unwrap(), &calling("call();"));
    let total: u64 = printed.trim_start_matches("0 ").split(',').nth(4).unwrap().parse().unwrap();
    assert_eq!(total, rustix::system::sysinfo().totalram as u64);
}

#[test]
fn when_nobody_answers_any_more_there_is_no_such_call() {
    let printed = under_the_filter(drop, &calling("call();"));
    assert_eq!(printed, format!("-1 {}\n", Errno::NOSYS.raw_os_error()));
    // The same when it has answered before.
    let printed = under_the_filter(
        |listener| {
            let attendant = attendant(true);
            attendant.attend(listener).unwrap();
        },
        &calling("$! = 0; for (1 .. 1000000) { last if syscall($n, my $b = ' ' x 112) < 0 } print 0 + $!;"),
    );
    assert_eq!(printed, Errno::NOSYS.raw_os_error().to_string());
}

#[test]
fn bad_pointers_are_efault_and_those_of_memory_that_may_not_be_written() {
    let attendant = attendant(true);
    let program = r#"
        open(my $maps, "<", "/proc/self/maps"); my ($unwritable) = map { /^(\w+)-\w+ r--p/ ? hex($1) : () } <$maps>;
        my $page = syscall($mmap, 0, 8192, 3, 0x22, -1, 0); syscall($munmap, $page + 4096, 4096);
        for (0, 1, -1, -4096, 0x7fffffffffffffff, $unwritable, $page + 4096 - 8) { $! = 0; print syscall($n, $_), " ", 0 + $!, "\n"; }
        print syscall($n, $page + 4096 - 112), "\n";
    "#;
    let numbers =
        if cfg!(target_arch = "x86_64") { "$mmap = 9; $munmap = 11;" } else { "$mmap = 222; $munmap = 215;" };
    let printed = under_the_filter(
        |listener| attendant.attend(listener).unwrap(),
        &calling(&format!("no warnings; {numbers} {program}")),
    );
    let lines: Vec<_> = printed.lines().collect();
    let (last, refused) = lines.split_last().unwrap();
    assert_eq!(*last, "0", "{printed}");
    for (index, line) in refused.iter().enumerate() {
        // The kernel is asked about protections since Linux 6.11.
        let is_told = index != 5 || has_procmap_query();
        assert!(!is_told || *line == "-1 14", "pointer {index}: {printed}");
    }
    assert_eq!(refused.len(), 7);
}

fn has_procmap_query() -> bool {
    let maps = std::fs::File::open("/proc/self/maps").unwrap();
    crate::sys::is_writable(rustix::fd::AsFd::as_fd(&maps), 0).is_some()
}

/// Texts that are made when somebody lets them.
struct Held {
    asked: mpsc::Sender<()>,
    released: mpsc::Receiver<()>,
}

impl Texts for Held {
    fn write(&mut self, file: ViewFile, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.asked.send(()).unwrap();
        self.released.recv().unwrap();
        Fixed { works: true }.write(file, out)
    }

    fn cpus(&mut self) -> Result<ShownCpus, Errno> {
        Err(Errno::NOSYS)
    }
}

#[test]
fn nobody_waits_for_an_attendant_that_is_kept_waiting() {
    let (asked, is_asked) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let attendant = Attendant::new(Held { asked, released }, procfs()).unwrap();
    let (caller, listener) = Caller::of(&calling("call();"));
    attendant.attend(listener).unwrap();
    caller.go.send(()).unwrap();
    is_asked.recv().unwrap();
    drop(attendant);
    // It ends when it is let, and whoever was waiting has its answer.
    for _ in 0..3 {
        release.send(()).unwrap();
    }
    assert!(caller.thread.join().unwrap().starts_with("0 42,"));
    is_asked.iter().for_each(drop);
}

#[test]
fn callers_that_are_killed_while_they_wait_do_no_harm() {
    let attendant = attendant(true);
    // Four at a time call in a loop until they are killed; the last call is answered as the first.
    let program = r#"
        for my $round (1 .. 25) {
            my @children;
            for (1 .. 4) {
                pipe(my $reader, my $writer);
                my $child = fork();
                if (!$child) { my $b = " " x 112; syscall($n, $b); syswrite($writer, "x"); while (1) { syscall($n, $b) } }
                sysread($reader, my $byte, 1);
                push @children, $child;
            }
            kill 9, @children; waitpid($_, 0) for @children;
        }
        call();
    "#;
    let printed = under_the_filter(|listener| attendant.attend(listener).unwrap(), &calling(program));
    assert!(printed.starts_with("0 42,"), "{printed}");
}
