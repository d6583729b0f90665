//! Containers full of readers, and how far they got.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{MI, PROGRAMS, limited_to};
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::pod::Pod;
use ballast_integration::testbed::process::ask_until;
use serde_json::json;

/// A running container of `integration/images/payload/readers.c`.
pub(crate) struct Readers {
    pub(crate) container: Container,
    counters: File,
}

impl Readers {
    /// So many, who open their file anew each time (`opened`) or not (`held`). The image has to be there.
    #[track_caller]
    pub(crate) fn start(pod: &Pod, count: u32, way: &str, files: &[&str]) -> Self {
        let mut differences = limited_to(256 * MI);
        // The readers are to have all the time that they can get.
        differences["linux"]["resources"]["cpu_quota"] = json!(0);
        differences["image"] = json!({"image": PROGRAMS});
        differences["command"] = json!([&["readers", &count.to_string(), way], files].concat());
        let container = pod.start(differences);
        container.wait_for_log(" readers");
        let path = format!("/proc/{}/root/run/readers", container.process().pid);
        let counters = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { container, counters }
    }

    /// How often a file was read to its end.
    pub(crate) fn texts(&self) -> u64 {
        self.counter(0)
    }

    /// How often one could not be.
    pub(crate) fn failures(&self) -> u64 {
        self.counter(1)
    }

    fn counter(&self, index: u64) -> u64 {
        let mut bytes = [0; 8];
        self.counters.read_exact_at(&mut bytes, index * 8).unwrap();
        u64::from_ne_bytes(bytes)
    }

    /// Waits until so many more texts were read than by now.
    #[track_caller]
    pub(crate) fn wait_for_texts(&self, count: u64) {
        let goal = self.texts() + count;
        ask_until("readers' progress", || (self.texts() >= goal).then_some(()));
    }
}
