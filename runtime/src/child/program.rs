//! Which file the process becomes: the look-up in `PATH`, done while the container is created so that its error comes then.

use super::identity::home_directory;
use crate::error::{ErrorKind, StepError};
use crate::plan::wire::ProcessPlan;
use crate::sys;
use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};

/// Where to look when the environment has no `PATH`.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that was found, with what it is started with.
pub(super) struct Program<'a> {
    path: CString,
    arguments: &'a [CString],
    environment: Vec<CString>,
}

/// Finds `args[0]` as the user of the process, who must be able to execute it.
pub(super) fn find(plan: &ProcessPlan) -> Result<Program<'_>, StepError> {
    let name = plan.arguments.first().map_or(c"", CString::as_c_str);
    let path = if name.to_bytes().contains(&b'/') {
        executable(name).map_err(|errno| refusal(name, errno))?;
        name.to_owned()
    } else {
        search(name, variable(&plan.environment, b"PATH=").unwrap_or(DEFAULT_PATH))?
    };
    Ok(Program { path, arguments: &plan.arguments, environment: environment(plan) })
}

impl Program<'_> {
    /// Becomes the program; returns why it could not.
    pub(super) fn execute(&self) -> StepError {
        let errno = sys::execve(&self.path, self.arguments, &self.environment);
        let hint = if errno == Errno::NOEXEC {
            " (no interpreter line, or built for another architecture?)"
        } else {
            ""
        };
        StepError {
            kind: ErrorKind::InvalidArgument,
            step: format!("exec {}{hint}", self.path.to_string_lossy()),
            errno: Some(errno.raw_os_error()),
        }
    }
}

fn search(name: &CStr, path: &[u8]) -> Result<CString, StepError> {
    let mut denied = None;
    for directory in path.split(|byte| *byte == b':') {
        let mut candidate = if directory.is_empty() { b".".to_vec() } else { directory.to_vec() };
        candidate.push(b'/');
        candidate.extend_from_slice(name.to_bytes());
        let Ok(candidate) = CString::new(candidate) else { continue };
        match executable(&candidate) {
            Ok(()) if !name.is_empty() => return Ok(candidate),
            Err(Errno::ACCESS) => denied = Some(candidate),
            _ => {}
        }
    }
    match denied {
        Some(candidate) => Err(refusal(&candidate, Errno::ACCESS)),
        None => Err(StepError {
            kind: ErrorKind::NotFound,
            step: format!("exec: {:?}: executable file not found in $PATH", name.to_string_lossy()),
            errno: None,
        }),
    }
}

fn executable(path: &CStr) -> Result<(), Errno> {
    if FileType::from_raw_mode(stat(path)?.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

fn refusal(path: &CStr, errno: Errno) -> StepError {
    let kind = if errno == Errno::NOENT { ErrorKind::NotFound } else { ErrorKind::InvalidArgument };
    StepError { kind, step: format!("exec: {:?}", path.to_string_lossy()), errno: Some(errno.raw_os_error()) }
}

fn environment(plan: &ProcessPlan) -> Vec<CString> {
    let mut environment = plan.environment.clone();
    if variable(&environment, b"HOME=").is_none() {
        let mut home = b"HOME=".to_vec();
        home.extend(home_directory(plan.uid).unwrap_or_else(|| b"/".to_vec()));
        environment.extend(CString::new(home));
    }
    environment
}

fn variable<'a>(environment: &'a [CString], prefix: &[u8]) -> Option<&'a [u8]> {
    environment.iter().rev().find_map(|entry| entry.to_bytes().strip_prefix(prefix))
}
