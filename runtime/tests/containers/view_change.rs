//! A view that is taken away from a container that runs, and put back.

use super::Test;
use super::bundle::{Bundle, Streams, wait};
use ballast_runtime::{Container, ErrorKind, Placement, Process, Runtime};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{FdFlags, fcntl_setfd};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

pub const TESTS: &[(&str, Test)] = &[
    ("a_view_is_taken_away_and_put_back_and_open_files_live_through_both", away_and_back),
    ("a_view_is_taken_away_and_put_back_in_a_user_namespace", user_namespace),
    ("what_a_container_covered_or_took_off_itself_is_left_to_it", own_doing),
    ("a_container_without_its_proc_is_no_error", without_proc),
    ("a_path_through_a_link_is_not_followed", through_links),
    ("a_file_system_that_does_not_answer_keeps_nobody_waiting", stuck),
    ("a_container_without_a_view_gets_none", none),
    ("a_container_that_has_ended_has_nothing_to_change", ended),
];

/// A container with a view, parked before its program.
struct Parked {
    bundle: Bundle,
    container: Container,
    init: Process,
}

impl Parked {
    fn new(runtime: &Arc<Runtime>, bundle: Bundle) -> Self {
        let mut bundle = bundle;
        bundle.config["annotations"] = json!({"ballast.dev/proc-view": "on"});
        let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
        Self { bundle, container, init }
    }

    fn path(&self, path: &str) -> String {
        format!("/proc/{}/root{path}", self.init.pid())
    }

    /// Where the view is mounted; the kernel's own files of the cgroup among it.
    fn covers(&self) -> Vec<String> {
        let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", self.init.pid())).unwrap();
        let ours = |line: &&str| line.contains(" fuse.ballast ") || line.contains(" /proc/pressure/");
        let mut paths: Vec<_> =
            mounts.lines().filter(ours).map(|line| line.split(' ').nth(4).unwrap().to_owned()).collect();
        paths.sort();
        paths
    }

    /// As root of the node in the container's mount and pid namespaces.
    fn enter(&self, command: &[&str]) {
        let pid = self.init.pid().to_string();
        let status =
            Command::new("nsenter").args(["-m", "-p", "-t", &pid, "--"]).args(command).status().unwrap();
        assert!(status.success(), "{command:?}");
    }

    fn end(self) {
        self.init.signal(9).unwrap();
        wait(&self.init);
        self.container.delete().unwrap();
        self.bundle.assert_nothing_left();
    }
}

fn sorted(mut paths: Vec<String>) -> Vec<String> {
    paths.sort();
    paths
}

fn seconds_up(file: &mut File) -> f64 {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn away_and_back(runtime: &Arc<Runtime>) {
    let parked = Parked::new(runtime, Bundle::idle());
    parked.init.start().unwrap();
    let host_cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let covers = parked.covers();
    assert!(covers.contains(&"/proc/meminfo".to_owned()), "{covers:?}");
    assert!(covers.contains(&"/sys/devices/system/cpu".to_owned()), "{covers:?}");
    let mut open = File::open(parked.path("/proc/uptime")).unwrap();
    let before = seconds_up(&mut open);

    assert_eq!(sorted(parked.container.withdraw_view().unwrap()), covers);
    assert_eq!(parked.covers(), [""; 0]);
    let view = parked.container.describe_view().unwrap();
    assert_eq!(view.placement, Placement::Withdrawn);
    assert_eq!(
        std::fs::read_to_string(parked.path("/proc/cpuinfo")).unwrap().lines().count(),
        host_cpuinfo.lines().count()
    );
    let reads = parked.container.describe_view().unwrap().reads;
    assert!(seconds_up(&mut open) >= before, "an open file is what it was");
    assert!(parked.container.describe_view().unwrap().reads > reads);
    std::fs::read(parked.path("/proc/uptime")).unwrap();
    assert_eq!(parked.container.describe_view().unwrap().reads, reads + 1, "read from the kernel");
    assert_eq!(parked.container.withdraw_view().unwrap(), [""; 0], "it is away");

    assert_eq!(sorted(parked.container.restore_view().unwrap()), covers);
    assert_eq!(parked.covers(), covers);
    assert_eq!(parked.container.describe_view().unwrap().placement, Placement::InPlace);
    std::fs::read(parked.path("/proc/uptime")).unwrap();
    assert!(parked.container.describe_view().unwrap().reads > reads + 1);
    assert_eq!(parked.container.restore_view().unwrap(), [""; 0], "it is there");
    assert_eq!(parked.covers(), covers);
    parked.end();
}

fn user_namespace(runtime: &Arc<Runtime>) {
    let mut bundle = Bundle::idle();
    let mappings = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    bundle.config["linux"]["uidMappings"] = mappings.clone();
    bundle.config["linux"]["gidMappings"] = mappings;
    std::fs::set_permissions(bundle.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let parked = Parked::new(runtime, bundle);
    let covers = parked.covers();
    assert_eq!(sorted(parked.container.withdraw_view().unwrap()), covers);
    assert_eq!(parked.covers(), [""; 0]);
    assert_eq!(sorted(parked.container.restore_view().unwrap()), covers);
    assert_eq!(parked.covers(), covers);
    assert!(std::fs::read_to_string(parked.path("/proc/stat")).unwrap().starts_with("cpu  "));
    parked.end();
}

fn own_doing(runtime: &Arc<Runtime>) {
    let parked = Parked::new(runtime, Bundle::idle());
    parked.enter(&["mount", "--bind", "/etc/passwd", "/proc/meminfo"]);
    parked.enter(&["umount", "/proc/stat"]);
    // The view's own file, once more over itself and over another.
    parked.enter(&["mount", "--bind", "/proc/uptime", "/proc/uptime"]);
    parked.enter(&["mount", "--bind", "/proc/uptime", "/proc/loadavg"]);
    let away = parked.container.withdraw_view().unwrap();
    for (path, expected) in
        [("/proc/meminfo", false), ("/proc/stat", false), ("/proc/uptime", true), ("/proc/loadavg", true)]
    {
        assert_eq!(away.contains(&path.to_owned()), expected, "{path} in {away:?}");
    }
    assert_eq!(parked.covers(), ["/proc/meminfo"], "which is covered by the container itself");
    let passwd = std::fs::read_to_string(parked.path("/etc/passwd")).unwrap();
    assert_eq!(std::fs::read_to_string(parked.path("/proc/meminfo")).unwrap(), passwd);
    let back = parked.container.restore_view().unwrap();
    assert!(back.contains(&"/proc/stat".to_owned()), "{back:?}");
    assert!(!back.contains(&"/proc/meminfo".to_owned()), "{back:?}");
    assert_eq!(std::fs::read_to_string(parked.path("/proc/meminfo")).unwrap(), passwd);
    parked.end();
}

fn without_proc(runtime: &Arc<Runtime>) {
    let parked = Parked::new(runtime, Bundle::idle());
    parked.enter(&["mount", "-t", "tmpfs", "tmpfs", "/proc"]);
    assert_eq!(parked.container.withdraw_view().unwrap(), ["/sys/devices/system/cpu"]);
    assert_eq!(parked.container.restore_view().unwrap(), ["/sys/devices/system/cpu"]);
    parked.end();
}

fn through_links(runtime: &Arc<Runtime>) {
    let parked = Parked::new(runtime, Bundle::idle());
    // The container's `/proc` somewhere else, and a link in its place.
    parked.enter(&["mount", "-t", "tmpfs", "tmpfs", "/tmp"]);
    parked.enter(&["mkdir", "/tmp/proc"]);
    parked.enter(&["mount", "--rbind", "/proc", "/tmp/proc"]);
    parked.enter(&["umount", "-l", "/proc"]);
    parked.enter(&["rmdir", "/proc"]);
    parked.enter(&["ln", "-s", "/tmp/proc", "/proc"]);
    let covers = parked.covers();
    assert_eq!(parked.container.withdraw_view().unwrap(), ["/sys/devices/system/cpu"]);
    assert_eq!(parked.covers().len(), covers.len() - 1, "what the container moved is its own");
    assert_eq!(parked.container.restore_view().unwrap(), ["/sys/devices/system/cpu"]);
    parked.end();
}

fn stuck(runtime: &Arc<Runtime>) {
    let parked = Parked::new(runtime, Bundle::idle());
    // Nobody will ever read a request from it.
    let fuse = open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap();
    fcntl_setfd(&fuse, FdFlags::empty()).unwrap();
    let options = format!("fd={},rootmode=40755,user_id=0,group_id=0,allow_other", fuse.as_raw_fd());
    // mount(8) would look at what it has mounted, on some kernels, and hang.
    let mount = r#"my $n = `uname -m` =~ /x86_64/ ? 165 : 40;
        my ($source, $target, $type, $options) = ("stuck", "/proc", "fuse", @ARGV);
        syscall($n, $source, $target, $type, 0, $options) and die "mount: $!""#;
    parked.enter(&["perl", "-e", mount, &options]);
    let error = parked.container.withdraw_view().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("did not answer within 3 s"), "{error}");
    // Whoever asks it anything from now on gets an error.
    drop(fuse);
    let error = parked.container.withdraw_view().unwrap_err();
    assert!(error.to_string().contains("uncover /proc/"), "{error}");
    parked.end();
}

fn none(runtime: &Arc<Runtime>) {
    let bundle = Bundle::idle();
    let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
    for refused in [container.withdraw_view(), container.restore_view()] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
        assert_eq!(error.to_string(), "the container has no view of /proc");
    }
    init.signal(9).unwrap();
    wait(&init);
    container.delete().unwrap();
    bundle.assert_nothing_left();
}

fn ended(runtime: &Arc<Runtime>) {
    let parked = Parked::new(runtime, Bundle::idle());
    parked.init.signal(9).unwrap();
    wait(&parked.init);
    let error = parked.container.withdraw_view().unwrap_err();
    assert!(error.to_string().contains("join the container's mount namespace"), "{error}");
    parked.container.delete().unwrap();
    parked.bundle.assert_nothing_left();
}
