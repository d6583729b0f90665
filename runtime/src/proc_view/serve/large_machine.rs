//! A view of 128 CPUs, whatever machine the tests run on: real texts, many directories, buffers of every size.

use super::tests::{Files, add, content, names, open_file, read_in_pieces, started};
use super::*;
use crate::proc_view::figures::{CpuClock, CpuList, CpuSample, CpuShare};
use crate::proc_view::render::{self, Stat};
use crate::proc_view::{ShownCpus, ViewFile};
use rustix::fs::{Mode, OFlags, RawDir, openat};
use std::mem::MaybeUninit;

const COUNT: u32 = 128;

#[derive(Clone)]
struct LargeMachine {
    host_cpuinfo: String,
}

impl LargeMachine {
    /// With so many CPUs like the first of this one.
    fn new() -> Self {
        let host = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let first = host.split_once("\n\n").map_or(&*host, |(first, _)| first);
        let (_, rest) = first.trim_end().split_once('\n').unwrap();
        let block = |cpu| format!("processor\t: {cpu}\n{rest}\n\n");
        Self { host_cpuinfo: (0..COUNT).map(block).collect() }
    }
}

impl Texts for LargeMachine {
    fn write(&mut self, file: ViewFile, out: &mut Vec<u8>) -> Result<(), Errno> {
        let share = CpuShare::new(COUNT, None, crate::Rounding::Up);
        match file {
            ViewFile::CpuInfo => {
                let known = render::cpuinfo(out, &self.host_cpuinfo, &CpuList::first(COUNT), share.count);
                known.then_some(()).ok_or(Errno::IO)?;
            }
            ViewFile::Stat => {
                let mut clock = CpuClock::starting(0);
                let sample = CpuSample {
                    now_usec: 1_000_000_000,
                    user_usec: 64_000_000_000,
                    nice_usec: 0,
                    system_usec: 1_280_000_000,
                };
                clock.advance(sample, share);
                render::stat(out, &Stat { clock: &clock, share, booted_s: 1_700_000_000, running: 1 });
            }
            ViewFile::CpusOnline | ViewFile::CpusPossible | ViewFile::CpusPresent => {
                render::cpu_range(out, share.count);
            }
            ViewFile::CpusOffline => render::no_cpus(out),
            _ => return Err(Errno::IO),
        }
        Ok(())
    }

    fn cpus(&mut self) -> Result<ShownCpus, Errno> {
        Ok(ShownCpus { allowed: CpuList::first(COUNT), count: COUNT })
    }
}

/// The live and the lasting files; `None` where there is no FUSE.
fn served() -> Option<(Files, Files, Server<LargeMachine>)> {
    let server = started()?;
    let directory = add(&server, LargeMachine::new());
    Some((Files::of(server.live(), directory), Files::of(server.lasting(), directory), server))
}

#[test]
fn texts_of_128_cpus_are_whole_whatever_the_buffer() {
    let Some((live, lasting, _server)) = served() else { return };
    for (files, file, name) in [(&lasting, ViewFile::CpuInfo, "cpuinfo"), (&live, ViewFile::Stat, "stat")] {
        let mut expected = Vec::new();
        LargeMachine::new().write(file, &mut expected).unwrap();
        for size in [7, 333, 4096, 4097, 1 << 20] {
            let read = read_in_pieces(&open_file(files, name).unwrap(), size);
            assert!(read == expected, "{name} in pieces of {size}: {} of {}", read.len(), expected.len());
        }
    }
    let numbers = |text: &str, begin: &str| -> Vec<u32> {
        text.lines().filter_map(|line| line.strip_prefix(begin)?.split(' ').next()?.parse().ok()).collect()
    };
    let all: Vec<u32> = (0..COUNT).collect();
    assert_eq!(numbers(&content(&lasting, "cpuinfo"), "processor\t: "), all);
    assert_eq!(numbers(&content(&live, "stat"), "cpu"), all);
    for name in ["online", "possible", "present"] {
        let file = open_file(&lasting, &format!("cpu/{name}")).unwrap();
        assert_eq!(read_in_pieces(&file, 1), b"0-127\n", "{name}");
    }
}

#[test]
fn directories_of_128_cpus_are_listed_whatever_the_buffer() {
    let Some((_live, lasting, _server)) = served() else { return };
    let mut expected: Vec<_> = (0..COUNT).map(|cpu| format!("cpu{cpu}")).collect();
    expected.sort();
    let cpus = |names: Vec<String>| {
        let is_cpu = |name: &String| name.strip_prefix("cpu").is_some_and(|rest| rest.parse::<u32>().is_ok());
        let mut cpus: Vec<_> = names.into_iter().filter(is_cpu).collect();
        cpus.sort();
        cpus
    };
    assert_eq!(cpus(names(&lasting, "cpu")), expected);
    // Room for one entry or two.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(&lasting.directory, "cpu", flags, Mode::empty()).unwrap();
    let mut buffer = [MaybeUninit::uninit(); 64];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut listed = Vec::new();
    while let Some(entry) = entries.next() {
        listed.push(entry.unwrap().file_name().to_str().unwrap().to_owned());
    }
    assert_eq!(cpus(listed), expected);
    for cpu in 0..COUNT {
        assert_eq!(content(&lasting, &format!("cpu/cpu{cpu}/topology/core_id")), format!("{cpu}\n"));
    }
    let mask = "ffffffff,ffffffff,ffffffff,ffffffff\n";
    assert_eq!(content(&lasting, "cpu/cpu127/topology/package_cpus"), mask);
    assert_eq!(open_file(&lasting, "cpu/cpu128").unwrap_err(), Errno::NOENT);
}
