//! The node, one test at a time.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::command::crictl;
use super::footprint::Footprint;
use super::pod::Pod;

/// Where the tests keep configurations and logs.
pub const DIRECTORY: &str = "/run/ballast-tests";

/// One test's turn with the node. Its end checks that the node is as it was.
///
/// The turns are what makes the check exact; the node has one processor, so they cost nothing.
#[derive(Debug)]
pub struct Node {
    /// The runtime handler under test.
    handler: String,
    before: Footprint,
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
        Self { handler: handler.to_owned(), before: Footprint::take(), turn }
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
