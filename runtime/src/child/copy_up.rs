//! `tmpcopyup`: what the image has in a directory, copied into the tmpfs that covers it.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, copy_file_range, fchmod, fchown, mkdirat,
    mknodat, openat, readlinkat, statat, symlinkat,
};
use rustix::io::Errno;
use std::ffi::CStr;

/// Copies everything below `from` to `to` with owners and modes; follows no link.
pub(super) fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let readable = openat(from, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for entry in Dir::read_from(&readable)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(&readable, to, name)?;
        }
    }
    Ok(())
}

fn copy_entry(from: &OwnedFd, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(status.st_mode);
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Directory => {
            mkdirat(to, name, mode)?;
            let source = open(from.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY)?;
            let target = open(to, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
            copy_directory(source.as_fd(), target.as_fd())?;
            own(&target, &status, mode)
        }
        FileType::RegularFile => {
            let source = open(from.as_fd(), name, OFlags::RDONLY)?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target = openat(to, name, flags, mode)?;
            copy_content(&source, &target)?;
            own(&target, &status, mode)
        }
        FileType::Symlink => {
            symlinkat(readlinkat(from, name, Vec::new())?, to, name)?;
            own_link(to, name, &status)
        }
        kind => {
            mknodat(to, name, kind, mode, status.st_rdev)?;
            own_link(to, name, &status)
        }
    }
}

fn copy_content(source: &OwnedFd, target: &OwnedFd) -> Result<(), Errno> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match copy_file_range(source, None, target, None, 1 << 30) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Kernels before 5.19 do not copy between file systems.
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP) => break,
            Err(errno) => return Err(errno),
        }
    }
    loop {
        let read = rustix::io::read(source, &mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            rest = &rest[rustix::io::write(target, rest)?..];
        }
    }
}

fn open(directory: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn own(file: &OwnedFd, status: &Stat, mode: Mode) -> Result<(), Errno> {
    fchown(file, Some(Uid::from_raw(status.st_uid)), Some(Gid::from_raw(status.st_gid)))?;
    // After the owner, whose change clears the set-id bits.
    fchmod(file, mode)
}

fn own_link(directory: BorrowedFd<'_>, name: &CStr, status: &Stat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}
