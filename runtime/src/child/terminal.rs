//! Standard streams, and the pty of a container with a terminal.

use super::rootfs::{MountPoint, Rootfs, attach, open_in};
use super::{Context, Control};
use crate::error::{StepContext, StepError};
use crate::plan::wire::{ProcessPlan, StdioPlan};
use crate::spawn::ChildMessage;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Gid, OFlags, ResolveFlags, Uid, fchown, fstatfs};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};

/// Linux `include/uapi/linux/magic.h`.
const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// Opens a pty in the container's own devpts, gives its master to the shim and returns the slave.
///
/// The slave comes from the master by `TIOCGPTPEER`, never from a path: what lies under `/dev/pts` is the container's.
pub(super) fn open(
    root: BorrowedFd<'_>,
    size: Option<(u16, u16)>,
    plan: &ProcessPlan,
    control: &Control,
) -> Result<OwnedFd, StepError> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = open_in(root, c"/dev/pts/ptmx", flags, ResolveFlags::NO_SYMLINKS)
        .step(|| "open /dev/pts/ptmx for the terminal".into())?;
    let file_system = fstatfs(&master).step(|| "fstatfs of /dev/pts/ptmx".into())?;
    if file_system.f_type != DEVPTS_SUPER_MAGIC {
        return Err(Errno::NODEV).step(|| "/dev/pts/ptmx of the container is not on a devpts".into());
    }
    unlockpt(&master).step(|| "unlock the pty".into())?;
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .step(|| "open the pty's other side".into())?;
    if let Some((rows, columns)) = size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).step(|| format!("set the terminal's size to {rows}x{columns}"))?;
    }
    // Its group is the devpts mount's business (gid=5).
    fchown(&slave, Some(Uid::from_raw(plan.uid)), None::<Gid>)
        .step(|| "give the terminal to the user".into())?;
    control.tell(&ChildMessage::Terminal, &[master.as_fd()])?;
    Ok(slave)
}

/// Binds the pty on `/dev/console`, where programs expect init's terminal.
pub(super) fn bind_console(rootfs: &Rootfs<'_>, slave: &OwnedFd) -> Result<(), StepError> {
    let bind = || -> Result<(), Errno> {
        let target = rootfs.mount_point(c"/dev/console", MountPoint::File)?;
        let clone =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        attach(open_tree(slave, c"", clone)?, &target)
    };
    bind().step(|| "bind the terminal on /dev/console".into())
}

/// Makes the planned streams descriptors 0, 1 and 2.
pub(super) fn connect(
    plan: &StdioPlan,
    terminal: Option<OwnedFd>,
    context: &Context<'_>,
) -> Result<(), StepError> {
    match (plan, terminal) {
        (StdioPlan::Streams(streams), _) => {
            let [stdin, stdout, stderr] = streams.map(|stream| context.descriptor(stream));
            redirect(stdin?, stdout?, stderr?)
        }
        (StdioPlan::Terminal { .. }, Some(slave)) => {
            rustix::process::ioctl_tiocsctty(&slave)
                .step(|| "make the pty the controlling terminal".into())?;
            redirect(slave.as_fd(), slave.as_fd(), slave.as_fd())
        }
        (StdioPlan::Terminal { .. }, None) => Err(Errno::NOTTY).step(|| "connect the terminal".into()),
    }
}

fn redirect(stdin: BorrowedFd<'_>, stdout: BorrowedFd<'_>, stderr: BorrowedFd<'_>) -> Result<(), StepError> {
    let connect = || -> Result<(), Errno> {
        dup2_stdin(stdin)?;
        dup2_stdout(stdout)?;
        dup2_stderr(stderr)
    };
    connect().step(|| "connect the standard streams".into())
}
