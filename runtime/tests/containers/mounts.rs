//! Mount options, one by one.

use super::Test;
use super::bundle::Bundle;
use ballast_runtime::Runtime;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;

pub const TESTS: &[(&str, Test)] = &[
    ("a_tmpfs_with_tmpcopyup_has_what_the_image_has_there", copy_up),
    ("rro_makes_what_is_mounted_below_a_volume_read_only_too_and_ro_does_not", recursive_read_only),
    ("an_id_mapped_volume_shows_the_mapped_owner", id_mapped),
    ("what_the_host_mounts_later_reaches_a_slave_and_not_a_private_volume", propagation),
    ("a_read_only_root_cannot_be_written_but_volumes_can", read_only_root),
    ("the_roots_propagation_is_the_specs", root_propagation),
    ("three_hundred_volumes_are_mounted", many_volumes),
];

fn bind(source: &Path, destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

fn copy_up(runtime: &Arc<Runtime>) {
    let bundle =
        Bundle::new("cd /data && stat -c '%U %a' file && cat dir/inner && readlink link && touch new && ls");
    let data = bundle.rootfs().join("data");
    std::fs::create_dir_all(data.join("dir")).unwrap();
    std::fs::write(data.join("file"), "x").unwrap();
    std::fs::write(data.join("dir/inner"), "inner\n").unwrap();
    std::os::unix::fs::symlink("file", data.join("link")).unwrap();
    chown(data.join("file"), Some(1000), Some(1000)).unwrap();
    std::fs::set_permissions(data.join("file"), PermissionsExt::from_mode(0o4750)).unwrap();
    let bundle = bundle.add_mount(
        json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "mode=755"]}),
    );
    let outcome = bundle.output(runtime);
    assert_eq!(outcome.stdout, "web 4750\ninner\nfile\ndir\nfile\nlink\nnew\n", "{outcome:?}");
    assert!(!data.join("new").exists(), "the image was written");
}

/// A directory with a tmpfs mounted on `below`, which goes when this is dropped.
struct Volume(tempfile::TempDir);

impl Volume {
    fn new() -> Self {
        let volume = Self(tempfile::tempdir().unwrap());
        rustix::mount::mount("none", volume.0.path(), "tmpfs", rustix::mount::MountFlags::empty(), None)
            .unwrap();
        rustix::mount::mount_change(volume.0.path(), rustix::mount::MountPropagationFlags::SHARED).unwrap();
        volume.mount_below("below");
        volume
    }

    fn mount_below(&self, name: &str) {
        let below = self.0.path().join(name);
        std::fs::create_dir(&below).unwrap();
        rustix::mount::mount("none", &below, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
        std::fs::write(below.join("mark"), "").unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

fn recursive_read_only(runtime: &Arc<Runtime>) {
    let volume = Volume::new();
    for (option, expected) in [("ro", "volume: no\nbelow: yes\n"), ("rro", "volume: no\nbelow: no\n")] {
        let script = "try() { (: > $2/new) 2>/dev/null && echo $1: yes || echo $1: no; }; try volume /data; try below /data/below";
        let bundle =
            Bundle::new(script).add_mount(bind(volume.0.path(), "/data", &["rbind", "rprivate", option]));
        assert_eq!(bundle.output(runtime).stdout, expected, "{option}");
    }
}

fn id_mapped(runtime: &Arc<Runtime>) {
    let volume = tempfile::tempdir().unwrap();
    let file = volume.path().join("file");
    std::fs::write(&file, "").unwrap();
    chown(&file, Some(500), Some(500)).unwrap();
    let mut mount = bind(volume.path(), "/data", &["rbind", "rprivate"]);
    mount["uidMappings"] =
        json!([{"containerID": 500, "hostID": 1000, "size": 1}, {"containerID": 0, "hostID": 0, "size": 1}]);
    mount["gidMappings"] = mount["uidMappings"].clone();
    let outcome = Bundle::new("stat -c %u:%g /data/file").add_mount(mount).output(runtime);
    assert_eq!(outcome.stdout, "1000:1000\n", "{outcome:?}");
    assert_eq!(std::fs::metadata(&file).unwrap().uid(), 500);
}

fn propagation(runtime: &Arc<Runtime>) {
    for (option, expected) in [("rslave", "later\n"), ("rprivate", "none\n")] {
        let volume = Volume::new();
        let bundle = Bundle::new("read go; test -e /data/later/mark && echo later || echo none")
            .add_mount(bind(volume.0.path(), "/data", &["rbind", option]));
        let (stdin, mut go) = std::io::pipe().unwrap();
        let (mut output, stdout) = std::io::pipe().unwrap();
        let io = ballast_runtime::ProcessIo::Streams {
            stdin: Some(stdin.into()),
            stdout: Some(stdout.into()),
            stderr: None,
        };
        let (container, process) = bundle.create(runtime, io).unwrap();
        process.start().unwrap();
        volume.mount_below("later");
        std::io::Write::write_all(&mut go, b"go\n").unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut output, &mut text).unwrap();
        assert_eq!(text, expected, "{option}");
        super::bundle::wait(&process);
        container.delete().unwrap();
        bundle.assert_nothing_left();
    }
}

fn read_only_root(runtime: &Arc<Runtime>) {
    let outcome = Bundle::new("(: > /file); : > /dev/shm/file && echo shm")
        .set("/root/readonly", json!(true))
        .output(runtime);
    assert_eq!(outcome.stdout, "shm\n");
    assert!(outcome.stderr.contains("Read-only file system"), "{outcome:?}");
}

fn root_propagation(runtime: &Arc<Runtime>) {
    for (propagation, shared) in [("rprivate", false), ("rshared", true)] {
        let script = "grep ' / / ' /proc/self/mountinfo || grep -E ' /[^ ]* / ' /proc/self/mountinfo";
        let outcome = Bundle::new(script).set("/linux/rootfsPropagation", json!(propagation)).output(runtime);
        assert_eq!(outcome.stdout.contains("shared:"), shared, "{propagation}: {outcome:?}");
    }
    let error = Bundle::new("true").set("/linux/rootfsPropagation", json!("sideways")).refusal(runtime);
    assert!(error.contains("linux.rootfsPropagation") && error.contains("sideways"), "{error}");
}

fn many_volumes(runtime: &Arc<Runtime>) {
    let volume = tempfile::tempdir().unwrap();
    let mut bundle = Bundle::new("ls /volumes | wc -l; grep -c /volumes/ /proc/self/mountinfo");
    for number in 0..300 {
        bundle = bundle.add_mount(bind(volume.path(), &format!("/volumes/{number}"), &["bind"]));
    }
    assert_eq!(bundle.output(runtime).stdout, "300\n300\n");
}
