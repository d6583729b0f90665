//! A person's terminal: a pseudo terminal with a command on it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::process::DEADLINE;

/// A pseudo terminal and the command on it.
#[derive(Debug)]
pub struct Terminal {
    keyboard_and_screen: File,
    child: Child,
    /// Shown, and not asked for yet.
    ahead: String,
}

impl Terminal {
    /// Starts a command on a terminal of this size.
    pub fn run(program: &str, arguments: &[&str], rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, window(rows, columns)).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = File::from(rustix::fs::open(path, flags, Mode::empty()).unwrap());
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave))
            .spawn()
            .unwrap();
        Self { keyboard_and_screen: File::from(master), child, ahead: String::new() }
    }

    /// Changes the window's size and tells the command.
    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.keyboard_and_screen, window(rows, columns)).unwrap();
        // The kernel tells a terminal's session; the command is of the test's.
        kill_process(Pid::from_child(&self.child), Signal::WINCH).unwrap();
    }

    /// Closes the window the hard way: the command is killed.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Presses these keys.
    pub fn type_in(&mut self, text: &str) {
        self.keyboard_and_screen.write_all(text.as_bytes()).unwrap();
    }

    /// Reads the screen until it has shown `text`; returns what was shown since the last call, `text` included.
    #[track_caller]
    pub fn read_until(&mut self, text: &str) -> String {
        loop {
            if let Some(start) = self.ahead.find(text) {
                let rest = self.ahead.split_off(start + text.len());
                return std::mem::replace(&mut self.ahead, rest);
            }
            let more = self.read();
            assert_ne!(more, "", "the command ended; shown: {:?}", self.ahead);
            self.ahead.push_str(&more);
        }
    }

    /// Reads the screen to the command's end; returns what was shown since the last call, and the exit code.
    #[track_caller]
    pub fn read_to_end(mut self) -> (String, Option<i32>) {
        let mut shown = std::mem::take(&mut self.ahead);
        loop {
            let more = self.read();
            if more.is_empty() {
                return (shown, self.exit_code());
            }
            shown.push_str(&more);
        }
    }

    /// What is shown next; empty after the command's end.
    #[track_caller]
    fn read(&mut self) -> String {
        let begin = Instant::now();
        let timeout = Timespec::try_from(DEADLINE).unwrap();
        let ready =
            poll(&mut [PollFd::new(&self.keyboard_and_screen, PollFlags::IN)], Some(&timeout)).unwrap();
        assert_ne!(ready, 0, "nothing after {:?} for {} s", self.ahead, begin.elapsed().as_secs());
        let mut block = [0; 4096];
        // EIO: no one has the terminal open any more.
        let length = self.keyboard_and_screen.read(&mut block).unwrap_or(0);
        String::from_utf8_lossy(&block[..length]).into_owned()
    }

    /// Waits for the command's end; returns its exit code.
    pub fn exit_code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn window(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
