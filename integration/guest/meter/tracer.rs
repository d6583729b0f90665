//! Counts by ptrace: attaches to a shim and its spawner for one operation, follows what they clone until its `execve`.
//!
//! A tracer's requests must come from the thread that attached, so all of it is one thread's work; the operation runs on
//! the caller's. Knows no names of functions and no budget.

use std::collections::HashMap;
use std::fs;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail};
use ballast_integration::gate::measured::Operation;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use syscalls::Sysno;

use crate::pod::Processes;
use crate::symbols::Symbols;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// From one system call to the next.
    Syscalls,
    /// One instruction at a time, some thousand times slower.
    Instructions,
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    Shim,
    Spawner,
    Process,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Shim => "shim",
            Self::Spawner => "spawner",
            Self::Process => "process",
        }
    }
}

/// What was counted: numbers of system calls, or addresses of instructions, and how often.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    counts: HashMap<(Role, u64), u64>,
    /// Where the shim's program begins in memory; what it forks has it there, too.
    base: u64,
}

impl Trace {
    pub(crate) fn syscalls(&self) -> Operation {
        self.named(|number| {
            let known = usize::try_from(number).ok().and_then(Sysno::new);
            known.map_or_else(|| format!("number {number}"), |call| call.name().to_owned())
        })
    }

    pub(crate) fn instructions(&self, symbols: &Symbols) -> Operation {
        self.named(|address| symbols.function(address.wrapping_sub(self.base)).to_owned())
    }

    fn named(&self, name: impl Fn(u64) -> String) -> Operation {
        let mut named = Operation::new();
        for ((role, key), count) in &self.counts {
            *named.entry(role.name().to_owned()).or_default().entry(name(*key)).or_default() += count;
        }
        named
    }
}

/// Runs `operation` and counts what the shim, the spawner and their new processes do meanwhile.
pub(crate) fn trace(
    processes: Processes,
    pace: Pace,
    operation: impl FnOnce() -> Result<()>,
) -> Result<Trace> {
    thread::scope(|scope| {
        let (attached, is_attached) = mpsc::channel();
        let tracer = scope.spawn(move || {
            let (mut tracer, bell) = Tracer::attach(processes, pace)?;
            // Only the caller's own failure keeps it from listening.
            drop(attached.send(bell));
            tracer.run()
        });
        let result = match is_attached.recv() {
            Ok(bell) => {
                let result = operation();
                drop(bell);
                Some(result)
            }
            Err(_) => None,
        };
        let trace = match tracer.join() {
            Ok(trace) => trace.context("trace the shim")?,
            Err(_) => bail!("the tracer ended early"),
        };
        result.context("the tracer did not attach")??;
        Ok(trace)
    })
}

struct Tracer {
    processes: Processes,
    pace: Pace,
    tracees: HashMap<Pid, Tracee>,
    trace: Trace,
    /// A child whose end is the sign that the operation is over: it wakes the wait for tracees.
    bell: Child,
    is_over: bool,
}

struct Tracee {
    role: Role,
    /// Between the two stops of a system call.
    in_call: bool,
    /// What comes next is the call that attaching has interrupted, made again.
    repeats: bool,
    /// Where the last instruction was.
    address: u64,
}

impl Tracer {
    fn attach(processes: Processes, pace: Pace) -> Result<(Self, ChildStdin)> {
        let mut bell = Command::new("cat").stdin(Stdio::piped()).spawn().context("start cat")?;
        let ring = bell.stdin.take().context("no pipe to cat")?;
        let trace = Trace { base: base(processes.shim)?, ..Trace::default() };
        let mut tracer = Self { processes, pace, tracees: HashMap::new(), trace, bell, is_over: false };
        for pid in [processes.spawner, processes.shim] {
            for thread in threads(pid)? {
                let options = Options::PTRACE_O_TRACESYSGOOD
                    | Options::PTRACE_O_TRACECLONE
                    | Options::PTRACE_O_TRACEFORK
                    | Options::PTRACE_O_TRACEVFORK
                    | Options::PTRACE_O_TRACEEXEC;
                match ptrace::seize(thread, options) {
                    // A thread without work had its end meanwhile.
                    Err(Errno::ESRCH) => continue,
                    result => result.with_context(|| format!("attach to {thread}"))?,
                }
                tracer.admit(thread, true)?;
                ptrace::interrupt(thread).with_context(|| format!("interrupt {thread}"))?;
            }
        }
        Ok((tracer, ring))
    }

    fn admit(&mut self, pid: Pid, repeats: bool) -> Result<()> {
        let role = role(pid, self.processes)?;
        self.tracees.entry(pid).or_insert(Tracee { role, in_call: false, repeats, address: 0 });
        Ok(())
    }

    fn run(&mut self) -> Result<Trace> {
        while !(self.is_over && self.tracees.is_empty()) {
            self.step()?;
        }
        Ok(std::mem::take(&mut self.trace))
    }

    /// Waits for one stop and lets the process go on.
    fn step(&mut self) -> Result<()> {
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).context("waitpid")? {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) if is(&self.bell, pid) => {
                self.is_over = true;
                for pid in self.tracees.keys() {
                    match ptrace::interrupt(*pid) {
                        Ok(()) | Err(Errno::ESRCH) => {}
                        Err(errno) => bail!("interrupt {pid}: {errno}"),
                    }
                }
                Ok(())
            }
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => {
                self.tracees.remove(&pid);
                Ok(())
            }
            WaitStatus::PtraceSyscall(pid) => {
                self.count_call(pid)?;
                self.resume(pid, None)
            }
            WaitStatus::PtraceEvent(pid, _, event) => {
                if event == nix::libc::PTRACE_EVENT_EXEC {
                    // The container's own program: not ours to count.
                    return self.detach(pid, None);
                }
                if !self.tracees.contains_key(&pid) {
                    self.admit(pid, false)?;
                }
                self.resume(pid, None)
            }
            WaitStatus::Stopped(pid, Signal::SIGTRAP) if self.pace == Pace::Instructions => {
                self.count_instruction(pid)?;
                self.resume(pid, None)
            }
            WaitStatus::Stopped(pid, signal) => self.resume(pid, Some(signal)),
            other => bail!("unexpected news of a traced process: {other:?}"),
        }
    }

    fn resume(&mut self, pid: Pid, signal: Option<Signal>) -> Result<()> {
        if self.is_over {
            // A step that was made right before the end: without a tracer, its signal would kill.
            if self.pace == Pace::Instructions && signal.is_none() && has_pending_trap(pid) {
                return unless_gone(ptrace::cont(pid, None)).with_context(|| format!("resume {pid}"));
            }
            return self.detach(pid, signal);
        }
        let resumed = match self.pace {
            Pace::Syscalls => ptrace::syscall(pid, signal),
            Pace::Instructions => ptrace::step(pid, signal),
        };
        unless_gone(resumed).with_context(|| format!("resume {pid}"))
    }

    fn detach(&mut self, pid: Pid, signal: Option<Signal>) -> Result<()> {
        self.tracees.remove(&pid);
        let detached = ptrace::detach(pid, signal);
        unless_gone(detached).with_context(|| format!("detach from {pid}"))
    }

    fn count_call(&mut self, pid: Pid) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&pid) else { bail!("a call of the unknown process {pid}") };
        tracee.in_call = !tracee.in_call;
        if !tracee.in_call || std::mem::take(&mut tracee.repeats) {
            return Ok(());
        }
        let role = tracee.role;
        let number = match ptrace::getregs(pid) {
            Err(Errno::ESRCH) => return Ok(()),
            registers => registers.with_context(|| format!("read the registers of {pid}"))?.orig_rax,
        };
        *self.trace.counts.entry((role, number)).or_default() += 1;
        Ok(())
    }

    fn count_instruction(&mut self, pid: Pid) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&pid) else { bail!("a step of the unknown process {pid}") };
        if std::mem::take(&mut tracee.repeats) {
            return Ok(());
        }
        let address = match ptrace::getregs(pid) {
            Err(Errno::ESRCH) => return Ok(()),
            registers => registers.with_context(|| format!("read the registers of {pid}"))?.rip,
        };
        // An instruction that repeats itself (`rep stosb`) stops at each byte. How memory is copied and cleared is the C
        // library's choice for the processor at hand; counted once, it hardly shows.
        if std::mem::replace(&mut tracee.address, address) != address {
            *self.trace.counts.entry((tracee.role, address)).or_default() += 1;
        }
        Ok(())
    }
}

fn has_pending_trap(thread: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:")).unwrap_or_default();
    u64::from_str_radix(pending.trim(), 16).is_ok_and(|set| set & (1 << (Signal::SIGTRAP as u32 - 1)) != 0)
}

/// A process that was killed while it was stopped tells of its end by the next wait.
fn unless_gone(result: nix::Result<()>) -> nix::Result<()> {
    match result {
        Err(Errno::ESRCH) => Ok(()),
        result => result,
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Ended long ago unless something failed.
        drop(self.bell.kill());
        drop(self.bell.wait());
    }
}

fn is(child: &Child, pid: Pid) -> bool {
    i32::try_from(child.id()).is_ok_and(|id| id == pid.as_raw())
}

fn threads(pid: u32) -> Result<Vec<Pid>> {
    let path = format!("/proc/{pid}/task");
    let mut threads = Vec::new();
    for entry in fs::read_dir(&path).with_context(|| format!("read {path}"))? {
        let name = entry?.file_name();
        threads
            .push(Pid::from_raw(name.to_string_lossy().parse().with_context(|| format!("{path}/{name:?}"))?));
    }
    Ok(threads)
}

fn role(thread: Pid, processes: Processes) -> Result<Role> {
    let path = format!("/proc/{thread}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let group = status
        .lines()
        .find_map(|line| line.strip_prefix("Tgid:"))
        .and_then(|text| text.trim().parse::<u32>().ok())
        .with_context(|| format!("{path} has no Tgid"))?;
    Ok(match group {
        group if group == processes.shim => Role::Shim,
        group if group == processes.spawner => Role::Spawner,
        _ => Role::Process,
    })
}

/// Where the program of `pid` begins in memory: the first of its mappings that is a file's. It is static, so there is no other
/// file; and `serve` runs from a mount without a place, so the file has no name to look for.
fn base(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/maps");
    let maps = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let program = maps
        .lines()
        .find(|line| line.split_whitespace().nth(4).is_some_and(|inode| inode != "0"))
        .with_context(|| format!("{path} shows no program"))?;
    let start = program.split('-').next().unwrap_or_default();
    u64::from_str_radix(start, 16).with_context(|| format!("{path} has the line {program:?}"))
}
