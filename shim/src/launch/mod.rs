//! How containerd starts, asks and cleans up the shim: one module per action of the command line.
//!
//! `start` is on the path of every pod: it must stay free of an async runtime and of work that the daemon can do
//! after the reply. Must not know what a task does.

pub mod arguments;
pub mod bootstrap;
pub mod daemon;
mod delete;
mod executable;
mod group;
mod info;
pub mod options;
mod socket;
mod start;

use std::io::Write;

use self::arguments::{Action, Arguments};
use crate::{
    server::{Context, Services},
    version,
};

/// The variable that names containerd's event socket.
const TTRPC_ADDRESS: &str = "TTRPC_ADDRESS";

/// Why an action failed; containerd shows the text to its user.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The command line is not containerd's.
    #[error(transparent)]
    Arguments(#[from] arguments::ArgumentsError),
    /// `start` failed.
    #[error("start shim")]
    Start(#[from] start::StartError),
    /// `delete` failed.
    #[error("clean up after shim")]
    Delete(#[from] delete::DeleteError),
    /// `-info` failed.
    #[error("describe runtime")]
    Info(#[from] info::InfoError),
    /// The daemon could not start.
    #[error("run shim")]
    Daemon(#[from] daemon::DaemonError),
    /// Nobody takes the answer.
    #[error("write to standard output")]
    Output(#[source] std::io::Error),
}

/// Does what the command line asks for. `new_services` is called once, by the daemon only.
///
/// # Errors
/// The first thing that failed; everything done before it is undone.
pub fn run(
    command_line: impl IntoIterator<Item = std::ffi::OsString>,
    new_services: impl FnOnce(Context) -> Services,
) -> Result<(), LaunchError> {
    let arguments = Arguments::parse(command_line)?;
    match &arguments.action {
        Action::Version => answer(version::text().as_bytes()),
        Action::Info => answer(&info::reply()?),
        Action::Start(identity) => answer(&start::start(identity, &arguments)?),
        Action::Delete(identity) => answer(&delete::delete(identity)?),
        Action::Serve(identity) => Ok(daemon::run(identity, &arguments, new_services)?),
    }
}

fn answer(bytes: &[u8]) -> Result<(), LaunchError> {
    let mut output = std::io::stdout().lock();
    output.write_all(bytes).and_then(|()| output.flush()).map_err(LaunchError::Output)
}
