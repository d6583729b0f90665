//! A person's terminal: a pseudo terminal with a command on it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A pseudo terminal and the command on it.
#[derive(Debug)]
pub struct Terminal {
    keyboard_and_screen: File,
    child: Child,
}

impl Terminal {
    /// Starts a command on a terminal of this size.
    pub fn run(program: &str, arguments: &[&str], rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
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
        Self { keyboard_and_screen: File::from(master), child }
    }

    /// Presses these keys.
    pub fn type_in(&mut self, text: &str) {
        self.keyboard_and_screen.write_all(text.as_bytes()).unwrap();
    }

    /// Reads the screen until it has shown `text`; returns everything shown since the last call.
    #[track_caller]
    pub fn read_until(&mut self, text: &str) -> String {
        let mut shown = String::new();
        while !shown.contains(text) {
            let mut block = [0; 1024];
            // EIO: no one has the terminal open any more.
            let length = self.keyboard_and_screen.read(&mut block).unwrap_or(0);
            assert_ne!(length, 0, "the command ended; shown: {shown:?}");
            shown.push_str(&String::from_utf8_lossy(&block[..length]));
        }
        shown
    }

    /// Waits for the command's end; returns its exit code.
    pub fn exit_code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}
