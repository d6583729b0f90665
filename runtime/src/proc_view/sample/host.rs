//! The host's own files: templates for the texts, and what is shown when one cannot be made.

use super::SampleError;
use crate::proc_view::ViewFile;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, pread, retry_on_intr};
use std::collections::HashMap;

/// Room for nearly every file; `cpuinfo` and `stat` of a large machine make it grow.
const READ_BYTES: usize = 8192;

/// Files that are opened when first needed and stay open.
#[derive(Debug, Default)]
pub(crate) struct HostFiles(HashMap<ViewFile, OwnedFd>);

impl HostFiles {
    /// Reads a whole file into `content`, which is cleared and whose capacity is reused.
    pub(crate) fn read<'a>(
        &mut self,
        file: ViewFile,
        content: &'a mut Vec<u8>,
    ) -> Result<&'a str, SampleError> {
        let failed = |errno| SampleError::Host { path: file.path(), errno };
        let descriptor = match self.0.entry(file) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                unknown.insert(open(file.path(), flags, Mode::empty()).map_err(failed)?)
            }
        };
        read_whole(descriptor, content).map_err(failed)?;
        std::str::from_utf8(content).map_err(|_| SampleError::Layout(file.path()))
    }
}

/// The kernel gives a seq_file page by page, so only an empty read is its end.
fn read_whole(descriptor: &OwnedFd, content: &mut Vec<u8>) -> Result<(), Errno> {
    content.clear();
    content.reserve(READ_BYTES);
    loop {
        if content.capacity() == content.len() {
            content.reserve(content.len());
        }
        let offset = u64::try_from(content.len()).unwrap_or(u64::MAX);
        if retry_on_intr(|| pread(descriptor, rustix::buffer::spare_capacity(content), offset))? == 0 {
            return Ok(());
        }
    }
}
