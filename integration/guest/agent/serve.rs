//! The command server: requests in, events out, one session per command. Ends when the host is gone.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use ballast_integration::node::protocol::{BootConfig, Event, PREAMBLE, Request, read_frame, write_frame};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::session::Sessions;
use crate::{containerd, mounts};

/// Where all sessions write their events, whole frames at a time.
#[derive(Clone)]
pub(crate) struct Events(Arc<Mutex<File>>);

impl Events {
    /// Sends one event. A host that is gone is noticed by the reader, which ends the server.
    pub(crate) fn send(&self, event: &Event) {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = write_frame(&mut *stream, event) {
            eprintln!("node-agent: send an event: {error}");
        }
    }
}

/// The stream from the host, which is told what was read so that it can send more.
struct Acknowledged {
    input: File,
    events: Events,
}

impl Read for Acknowledged {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.events.send(&Event::Consumed(u32::try_from(count).map_err(io::Error::other)?));
        Ok(count)
    }
}

/// Serves the host on `channel` until it asks for power off or its end is closed.
pub(crate) fn serve(channel: &str) -> Result<()> {
    let (input, mut output) = open(channel)?;
    output.write_all(PREAMBLE).context("greet the host")?;
    let events = Events(Arc::new(Mutex::new(output)));
    let mut input = BufReader::new(Acknowledged { input, events: events.clone() });

    let Request::Boot(config) = read_frame(&mut input).context("read the boot request")? else {
        bail!("the host's first request is not Boot");
    };
    let path = match boot(&config) {
        Ok(path) => path,
        Err(error) => {
            events.send(&Event::BootFailed(format!("{error:#}")));
            return Err(error);
        }
    };
    let sessions = Sessions::new(events.clone(), path);
    events.send(&Event::Ready);
    loop {
        match read_frame(&mut input) {
            Ok(Request::Boot(_)) => bail!("the host asked to boot twice"),
            Ok(Request::PowerOff) => return flush(&config.logs),
            Ok(request) => sessions.handle(request),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error).context("read a request"),
        }
    }
}

/// The host reads the logs when the node is gone; the rest is thrown away.
fn flush(logs: &str) -> Result<()> {
    let directory = File::open(logs).with_context(|| format!("open {logs}"))?;
    rustix::fs::syncfs(&directory).with_context(|| format!("write back {logs}"))
}

/// Shares, network, engine. Returns the sessions' `PATH`.
fn boot(config: &BootConfig) -> Result<String> {
    for share in &config.shares {
        mounts::mount_share(share)?;
    }
    mounts::detach_machine()?;
    let mut path = config.path.clone();
    if let Some(engine) = &config.engine {
        path.push(engine.directory.clone());
    }
    path.extend(
        ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(str::to_owned),
    );
    let path = path.join(":");
    let status = std::process::Command::new("ip")
        .env("PATH", &path)
        .args(["link", "set", "lo", "up"])
        .status()
        .context("start ip")?;
    if !status.success() {
        bail!("bring up the loopback interface: {status}");
    }
    if let Some(engine) = &config.engine {
        containerd::start_engine(engine, &path, &config.logs)?;
    }
    Ok(path)
}

/// The channel as a raw byte stream in both directions.
fn open(channel: &str) -> Result<(File, File)> {
    if channel == "-" {
        let input = rustix::io::dup(rustix::stdio::stdin()).context("duplicate standard input")?;
        let output = rustix::io::dup(rustix::stdio::stdout()).context("duplicate standard output")?;
        return Ok((File::from(input), File::from(output)));
    }
    // A service of systemd is the first process of its session; the channel must not become its terminal.
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(channel)
        .with_context(|| format!("open {channel}"))?;
    match tcgetattr(&device) {
        Ok(mut attributes) => {
            attributes.make_raw();
            tcsetattr(&device, OptionalActions::Now, &attributes)
                .with_context(|| format!("make {channel} raw"))?;
        }
        Err(Errno::NOTTY) => {}
        Err(errno) => return Err(errno).with_context(|| format!("read the terminal settings of {channel}")),
    }
    let output = OwnedFd::from(device.try_clone().context("duplicate the channel")?);
    Ok((device, File::from(output)))
}
