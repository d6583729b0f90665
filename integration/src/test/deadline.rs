//! The end of a test program that does not come to one by itself. Knows libtest's lines, nothing of tests.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;

use crate::node::command::SessionInput;

/// Kills a test program when its time is up.
#[derive(Debug)]
pub(super) struct Deadline {
    /// Dropped when the program has ended.
    running: Sender<()>,
    watch: JoinHandle<bool>,
}

impl Deadline {
    /// Starts to count.
    pub(super) fn start(program: SessionInput, time: Duration) -> Self {
        let (running, ended) = mpsc::channel::<()>();
        let watch = thread::spawn(move || {
            let expired = ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
            // A node that is gone has ended the program, too.
            expired && program.signal(Signal::KILL).is_ok()
        });
        Self { running, watch }
    }

    /// To be called when the program has ended; whether it was killed.
    pub(super) fn has_passed(self) -> bool {
        drop(self.running);
        self.watch.join().unwrap_or(false)
    }
}

/// Passes a test program's output on and remembers which tests libtest calls slow and has not seen end.
#[derive(Debug)]
pub(super) struct Slow<W> {
    output: W,
    line: Vec<u8>,
    tests: BTreeSet<String>,
}

impl<W: Write> Slow<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, line: Vec::new(), tests: BTreeSet::new() }
    }

    /// Tests that have run for more than a minute and still do; where there is one at a time, the one that runs.
    pub(super) fn tests(&self) -> String {
        let begun = String::from_utf8_lossy(&self.line);
        let begun = begun.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
        let slow = self.tests.iter().map(String::as_str);
        slow.chain(begun.map(|(name, _)| name)).collect::<Vec<_>>().join(", ")
    }

    fn take_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        let Some(rest) = line.trim_end().strip_prefix("test ") else { return };
        if let Some(name) = rest.strip_suffix(" has been running for over 60 seconds") {
            self.tests.insert(name.to_owned());
        } else if let Some((name, _)) = rest.split_once(" ... ") {
            self.tests.remove(name);
        }
    }
}

impl<W: Write> Write for Slow<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        for byte in &bytes[..written] {
            self.line.push(*byte);
            if *byte == b'\n' {
                self.take_line();
            }
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_that_hang_are_those_called_slow_and_not_ended() {
        let mut slow = Slow::new(Vec::new());
        let output = "\nrunning 3 tests\ntest a::quick ... ok\n\
            test b::slow has been running for over 60 seconds\n\
            test c::hangs has been running for over 60 seconds\ntest b::slow ... FAILED\n";
        for piece in output.as_bytes().chunks(7) {
            slow.write_all(piece).unwrap();
        }
        assert_eq!(slow.tests(), "c::hangs");
        assert_eq!(slow.output, output.as_bytes());
    }

    #[test]
    fn where_tests_run_one_at_a_time_the_last_one_begun_hangs() {
        let mut slow = Slow::new(Vec::new());
        slow.write_all(b"test a::quick ... ok\ntest b::hangs ... its own words").unwrap();
        assert_eq!(slow.tests(), "b::hangs");
    }
}
