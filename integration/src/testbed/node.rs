//! The node, one test at a time.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::command::crictl;
use super::footprint::Footprint;
use super::pod::Pod;
use super::process::{self, Process};

/// Where the tests keep configurations and logs.
pub const DIRECTORY: &str = "/run/ballast-tests";

/// What a test gets before its commands are killed, so that it fails by itself; and then again before the test program is.
const TURN_DEADLINE: Duration = Duration::from_secs(600);

/// One test's turn with the node. Its end checks that the node is as it was.
///
/// The turns are what makes the check exact; the node has one processor, so they cost nothing.
#[derive(Debug)]
pub struct Node {
    /// The runtime handler under test.
    handler: String,
    before: Footprint,
    /// Dropped at the turn's end, which the guard takes as its own.
    _turn_ends: Sender<()>,
    /// The images pulled so far.
    turn: MutexGuard<'static, BTreeSet<String>>,
}

impl Node {
    /// Waits for the turn.
    pub fn take() -> Self {
        Self::take_for(&std::env::var("BALLAST_TEST_HANDLER").unwrap_or_else(|_| "ballast".to_owned()))
    }

    /// Waits for the turn; pods have this runtime handler.
    pub fn take_for(handler: &str) -> Self {
        static TURN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        // A test that failed said so itself.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self { handler: handler.to_owned(), before: Footprint::take(), _turn_ends: guard(), turn }
    }

    /// The runtime handler under test.
    pub fn handler(&self) -> &str {
        &self.handler
    }

    /// Makes the image available.
    pub fn pull(&mut self, image: &str) {
        if self.turn.insert(image.to_owned()) {
            crictl(&["pull", image]);
        }
    }

    /// A running pod; `differences` are laid on the default configuration.
    #[track_caller]
    pub fn pod(&mut self, differences: Value) -> Pod {
        self.try_pod(differences).unwrap_or_else(|error| panic!("runp: {error}"))
    }

    /// A running pod, or what crictl said.
    pub fn try_pod(&mut self, differences: Value) -> Result<Pod, String> {
        self.pull(super::container::BUSYBOX);
        self.pull(super::container::SCRATCH);
        Pod::run(&self.handler, differences)
    }

    /// As many running pods as there are differences, made by so many at a time.
    #[track_caller]
    pub fn crowd(&mut self, differences: Vec<Value>, at_once: usize) -> Vec<Pod> {
        self.pull(super::container::BUSYBOX);
        self.pull(super::container::SCRATCH);
        let queue = Mutex::new(differences);
        let pods = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    while let Some(differences) = { queue.lock().unwrap().pop() } {
                        let pod = Pod::run(&self.handler, differences);
                        pods.lock().unwrap().push(pod.unwrap_or_else(|error| panic!("runp: {error}")));
                    }
                });
            }
        });
        pods.into_inner().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The footprint of a test that failed is not its cause.
        if !std::thread::panicking() {
            self.before.assert_restored();
        }
    }
}

/// Watches over the turn of the current thread's test.
fn guard() -> Sender<()> {
    let (turn_ends, watched) = mpsc::channel::<()>();
    let test = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        let expired = || watched.recv_timeout(TURN_DEADLINE) == Err(RecvTimeoutError::Timeout);
        if !expired() {
            return;
        }
        let mut report =
            format!("{test} has run for {} s: its commands are killed\n", TURN_DEADLINE.as_secs());
        let own = std::process::id();
        for entry in process::table().into_iter().filter(|entry| entry.parent == own) {
            report.push_str(&format!("  {} {}\n", entry.pid, command_line(entry.pid)));
            if let Some(process) = Process::open(entry.pid) {
                process.signal(rustix::process::Signal::KILL);
            }
        }
        tell(&report);
        if expired() {
            tell(&format!("{test} did not end even so\n"));
            std::process::abort();
        }
    });
    turn_ends
}

/// Not with a macro, whose output the test harness would keep to itself.
fn tell(text: &str) {
    let _nobody_listens = std::io::stderr().write_all(text.as_bytes());
}

fn command_line(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}
