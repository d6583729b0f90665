//! The check that every test ends with.

use std::fs;
use std::path::Path;

use ballast_integration::testbed::footprint::{Footprint, Thing};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::Process;

#[test]
fn a_footprint_shows_what_is_left_and_only_that() {
    let _node = Node::take();
    let cgroup = Path::new("/sys/fs/cgroup").join(format!("footprint-test-{}", std::process::id()));
    let before = Footprint::take();
    fs::create_dir(&cgroup).unwrap();
    let with_cgroup = Footprint::take();
    let mut sleeper = std::process::Command::new("setsid").args(["--fork", "sleep", "1000"]).spawn().unwrap();
    sleeper.wait().unwrap();
    let left = Footprint::take().since(&before);
    let [Thing::Process { pid, .. }, Thing::Cgroup(path)] = &left[..] else { panic!("{left:?}") };
    assert_eq!(path, &cgroup);
    Process::open(*pid).unwrap().signal(rustix::process::Signal::KILL);
    with_cgroup.assert_restored();
    fs::remove_dir(&cgroup).unwrap();
    before.assert_restored();
}
