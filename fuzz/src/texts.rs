//! What people and containerd write: annotations, paths. Whatever it is, it is understood or refused.

use arbitrary::Arbitrary;
use ballast_cgroups::memory_qos::Amount;
use ballast_cgroups::priority::Level;
use ballast_runtime::Selection;

use crate::Target;

/// A quantity, percentage or `max`, as annotations for memory have it; and a list of files of a view.
#[derive(Arbitrary, Debug)]
pub struct MemoryAmount {
    text: String,
    number: u64,
    suffix: u8,
}

const SUFFIXES: [&str; 16] =
    ["", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "%", "m", "e3"];

impl Target for MemoryAmount {
    fn check(self) {
        let number = format!("{}{}", self.number, SUFFIXES[usize::from(self.suffix) % SUFFIXES.len()]);
        for text in [&self.text, &number] {
            match Amount::parse(text) {
                Ok(Amount::Bytes(bytes)) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                    assert_eq!(text.parse(), Ok(bytes));
                }
                Ok(Amount::Share(share)) => assert!(share.of(self.number) <= self.number, "{text}"),
                Ok(_) => {}
                Err(fault) => assert!(!fault.to_string().is_empty()),
            }
        }
        if let Ok(files) = Selection::parse(&self.text) {
            assert!(files.files().count() > 0 || files.pressure);
        }
    }
}

/// A pod's priority.
#[derive(Arbitrary, Debug)]
pub struct PriorityLevel {
    text: String,
}

impl Target for PriorityLevel {
    fn check(self) {
        match self.text.parse::<Level>() {
            Ok(level) => assert_eq!(level.number().to_string().parse(), Ok(level)),
            Err(fault) => assert!(!fault.to_string().is_empty()),
        }
    }
}

/// `linux.cgroupsPath`
#[derive(Arbitrary, Debug)]
pub struct CgroupPath {
    text: String,
}

impl Target for CgroupPath {
    fn check(self) {
        if let Err(error) = ballast_cgroups::CgroupPath::parse(&self.text) {
            assert!(!error.to_string().is_empty());
        }
    }
}
