//! Which file the process becomes: the look-up in `PATH`, done while the container is created so that its error comes then.

use super::identity::home_directory;
use crate::error::{ErrorKind, StepError};
use crate::plan::wire::ProcessPlan;
use crate::sys;
use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::Errno;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::ffi::{CStr, CString};

/// Where to look when the environment has no `PATH`.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that was found, with what it is started with.
pub(super) struct Program<'a> {
    path: ProgramPath<'a>,
    arguments: &'a [CString],
    environment: Cow<'a, [CString]>,
}

/// Where a program is.
enum ProgramPath<'a> {
    Given(&'a CStr),
    Found(Candidate),
}

impl ProgramPath<'_> {
    fn as_c_str(&self) -> &CStr {
        match self {
            Self::Given(path) => path,
            Self::Found(candidate) => candidate.as_c_str(),
        }
    }
}

/// A name in a directory of `PATH`, with the end that the kernel wants. A short one takes no memory from the allocator, of which
/// a process that was just forked pays for each page that it touches.
struct Candidate(SmallVec<[u8; 64]>);

impl Candidate {
    fn new(directory: &[u8], name: &CStr) -> Self {
        let mut path = SmallVec::new();
        path.extend_from_slice(if directory.is_empty() { b"." } else { directory });
        path.push(b'/');
        path.extend_from_slice(name.to_bytes_with_nul());
        Self(path)
    }

    fn as_c_str(&self) -> &CStr {
        // It has its end, and no other NUL: both parts are of C strings.
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// Finds `args[0]` as the user of the process, who must be able to execute it.
pub(super) fn find(plan: &ProcessPlan) -> Result<Program<'_>, StepError> {
    let name = plan.arguments.first().map_or(c"", CString::as_c_str);
    let path = if name.to_bytes().contains(&b'/') {
        executable(name).map_err(|errno| refusal(name, errno))?;
        ProgramPath::Given(name)
    } else {
        ProgramPath::Found(search(name, variable(&plan.environment, b"PATH=").unwrap_or(DEFAULT_PATH))?)
    };
    Ok(Program { path, arguments: &plan.arguments, environment: environment(plan) })
}

impl Program<'_> {
    /// Becomes the program; returns why it could not.
    pub(super) fn execute(&self) -> StepError {
        let path = self.path.as_c_str();
        let errno = sys::execve(path, self.arguments, &self.environment);
        let hint = if errno == Errno::NOEXEC {
            " (no interpreter line, or built for another architecture?)"
        } else {
            ""
        };
        StepError {
            kind: ErrorKind::InvalidArgument,
            step: format!("exec {}{hint}", path.to_string_lossy()),
            errno: Some(errno.raw_os_error()),
        }
    }
}

fn search(name: &CStr, path: &[u8]) -> Result<Candidate, StepError> {
    let mut denied = None;
    for directory in path.split(|byte| *byte == b':') {
        let candidate = Candidate::new(directory, name);
        match executable(candidate.as_c_str()) {
            Ok(()) if !name.is_empty() => return Ok(candidate),
            Err(Errno::ACCESS) => denied = Some(candidate),
            _ => {}
        }
    }
    match denied {
        Some(candidate) => Err(refusal(candidate.as_c_str(), Errno::ACCESS)),
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

fn environment(plan: &ProcessPlan) -> Cow<'_, [CString]> {
    if variable(&plan.environment, b"HOME=").is_some() {
        return Cow::Borrowed(&plan.environment);
    }
    let mut home = b"HOME=".to_vec();
    home.extend(home_directory(plan.uid).unwrap_or_else(|| b"/".to_vec()));
    Cow::Owned(plan.environment.iter().cloned().chain(CString::new(home)).collect())
}

fn variable<'a>(environment: &'a [CString], prefix: &[u8]) -> Option<&'a [u8]> {
    environment.iter().rev().find_map(|entry| entry.to_bytes().strip_prefix(prefix))
}
