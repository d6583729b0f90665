use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, mknodat},
    pty::OpenptFlags,
    termios::{LocalModes, OptionalActions},
};
use tokio::sync::oneshot;

use super::*;
use crate::io::open;

/// A terminal with the FIFOs of a client.
struct Fixture {
    directory: tempfile::TempDir,
    slave: Option<fs::File>,
    terminal: Terminal,
    stdin_kept: Option<OwnedFd>,
    _stdout_kept: Option<OwnedFd>,
    ended: Option<oneshot::Sender<()>>,
}

/// Both sides of a terminal that neither echoes nor rewrites line ends, so that tests see bytes.
fn terminal() -> (OwnedFd, fs::File) {
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
    let slave =
        rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let mut termios = rustix::termios::tcgetattr(&slave).unwrap();
    termios.local_modes -= LocalModes::ECHO;
    termios.output_modes -= rustix::termios::OutputModes::OPOST;
    rustix::termios::tcsetattr(&slave, OptionalActions::Now, &termios).unwrap();
    (master, slave.into())
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    for name in ["stdin", "stdout"] {
        mknodat(CWD, directory.path().join(name), FileType::Fifo, Mode::from_raw_mode(0o700), 0).unwrap();
    }
    let (master, slave) = terminal();
    let stdin = open::input(&directory.path().join("stdin")).unwrap();
    let client_flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let client = rustix::fs::open(directory.path().join("stdout"), client_flags, Mode::empty()).unwrap();
    let stdout = open::output("stdout", &directory.path().join("stdout")).unwrap();
    drop(client);
    let (ended, end) = oneshot::channel();
    let ended_future = async move {
        if end.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let terminal = Terminal::start(master, Some(stdin.process), Some(stdout.process), ended_future).unwrap();
    Fixture {
        directory,
        slave: Some(slave),
        terminal,
        stdin_kept: stdin.kept,
        _stdout_kept: stdout.kept,
        ended: Some(ended),
    }
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn slave(&self) -> fs::File {
        self.slave.as_ref().unwrap().try_clone().unwrap()
    }
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(call).await.unwrap()
}

fn read_exactly(path: &Path, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fs::File::open(path).unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn output_goes_to_the_client_and_ends_with_the_last_process() {
    let mut fixture = fixture();
    let path = fixture.path("stdout");
    let reader = tokio::task::spawn_blocking(move || fs::read(path).unwrap());
    let mut slave = fixture.slave.take().unwrap();
    // More than any buffer on the way holds.
    let written = blocking(move || {
        let bytes: Vec<u8> = (0..200_000_u32).map(|index| b'a' + u8::try_from(index % 26).unwrap()).collect();
        slave.write_all(&bytes).unwrap();
        bytes
    })
    .await;
    assert_eq!(reader.await.unwrap(), written);
}

#[tokio::test]
async fn a_burst_takes_all_that_was_written_though_a_terminal_returns_it_in_pieces() {
    let (master, mut slave) = terminal();
    let master = Stream::new(master).unwrap();
    // More than one read returns, and no more than the kernel buffers.
    let written: Vec<u8> = (0..10_000_u32).map(|index| b'a' + u8::try_from(index % 26).unwrap()).collect();
    slave.write_all(&written).unwrap();
    let mut buffer = vec![0; OUTPUT_BYTES];
    let length = master.read_burst(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], written);
    slave.write_all(b"more").unwrap();
    assert_eq!(master.read_burst(&mut buffer).await.unwrap(), 4);
    drop(slave);
    let end = master.read_burst(&mut buffer).await.unwrap_err();
    assert_eq!(end.raw_os_error(), Some(Errno::IO.raw_os_error()));
}

#[tokio::test]
async fn input_goes_to_the_process_and_its_end_is_the_end_of_file_character() {
    let mut fixture = fixture();
    let path = fixture.path("stdin");
    blocking(move || fs::OpenOptions::new().write(true).open(path).unwrap().write_all(b"line\n").unwrap())
        .await;
    let mut slave = fixture.slave();
    let mut buffer = [0; 64];
    let length = blocking(move || {
        let length = slave.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"line\n");
        length
    })
    .await;
    assert_eq!(length, 5);
    // The client has gone, but only this ends the input.
    fixture.stdin_kept = None;
    let mut slave = fixture.slave();
    assert_eq!(blocking(move || slave.read(&mut [0; 64]).unwrap()).await, 0);
}

#[tokio::test]
async fn a_client_that_restarts_loses_nothing() {
    let fixture = fixture();
    let mut slave = fixture.slave();
    let path = fixture.path("stdout");
    slave.write_all(b"before").unwrap();
    let first = path.clone();
    assert_eq!(blocking(move || read_exactly(&first, 6)).await, b"before");
    slave.write_all(b"meanwhile").unwrap();
    assert_eq!(blocking(move || read_exactly(&path, 9)).await, b"meanwhile");
}

#[tokio::test]
async fn what_was_written_before_the_end_is_copied_though_another_process_keeps_the_terminal() {
    let mut fixture = fixture();
    let path = fixture.path("stdout");
    // Opened while the copy still runs: afterwards there is no writer left to open the FIFO for.
    let mut file = blocking(move || fs::File::open(path).unwrap()).await;
    let reader = tokio::task::spawn_blocking(move || {
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        content
    });
    let mut slave = fixture.slave();
    slave.write_all(b"last words").unwrap();
    fixture.ended.take().unwrap().send(()).unwrap();
    // Ends although `slave` is still open.
    assert_eq!(reader.await.unwrap(), b"last words");
}

#[tokio::test(start_paused = true)]
async fn output_that_nobody_takes_holds_a_delete_up_for_a_bounded_time_only() {
    let mut fixture = fixture();
    let mut slave = fixture.slave.take().unwrap();
    rustix::io::ioctl_fionbio(&slave, true).unwrap();
    loop {
        match slave.write(&[b'x'; 4096]) {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    fixture.terminal.finish(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn the_size_reaches_the_process() {
    let fixture = fixture();
    fixture.terminal.resize(TerminalSize { rows: 40, columns: 120 }).unwrap();
    let size = rustix::termios::tcgetwinsize(fixture.slave()).unwrap();
    assert_eq!((size.ws_row, size.ws_col), (40, 120));
}
