//! Images and processes that try to reach the host. Each names the attack that it stands for.

use super::Test;
use super::bundle::{Bundle, Streams, wait};
use ballast_runtime::Runtime;
use serde_json::json;
use std::os::unix::fs::symlink;
use std::sync::Arc;

pub const TESTS: &[(&str, Test)] = &[
    ("a_rootfs_whose_proc_is_a_symlink_is_refused_cve_2019_19921", proc_symlink),
    ("a_dev_that_is_a_symlink_stays_inside_the_rootfs", dev_symlink),
    ("a_mount_destination_through_symlinks_stays_inside_the_rootfs_cve_2021_30465", destination_symlink),
    ("a_dangling_symlink_destination_is_made_inside_the_rootfs", dangling_destination),
    ("a_working_directory_in_proc_self_fd_does_not_lead_out_cve_2024_21626", working_directory_escape),
    ("a_view_is_not_led_astray_by_what_is_mounted_below_proc_and_sys", view_over_hostile_mounts),
    ("the_shims_binary_cannot_be_seen_by_the_container_cve_2019_5736", own_binary),
];

fn proc_symlink(runtime: &Arc<Runtime>) {
    for place in ["proc", "sys"] {
        let bundle = Bundle::new("true");
        std::fs::remove_dir(bundle.rootfs().join(place)).unwrap();
        symlink("/tmp", bundle.rootfs().join(place)).unwrap();
        let error = bundle.refusal(runtime);
        assert!(
            error.contains(&format!("mount on /{place}: the root file system has a symbolic link there")),
            "{error}"
        );
    }
}

fn dev_symlink(runtime: &Arc<Runtime>) {
    let bundle = Bundle::new("ls -d /evil/null && readlink /dev");
    std::fs::remove_dir(bundle.rootfs().join("dev")).unwrap();
    symlink("/evil", bundle.rootfs().join("dev")).unwrap();
    match bundle.run(runtime) {
        Ok(outcome) => assert_eq!(outcome.stdout, "/evil/null\n/evil\n", "{outcome:?}"),
        Err(error) => assert!(ballast_runtime::report(&error).contains("/dev"), "{error}"),
    }
    assert!(!std::path::Path::new("/evil").exists());
}

fn destination_symlink(runtime: &Arc<Runtime>) {
    let victim = tempfile::tempdir().unwrap();
    let bundle = Bundle::new("ls /data/link");
    std::fs::create_dir(bundle.rootfs().join("data")).unwrap();
    symlink(format!("../../../../../..{}", victim.path().display()), bundle.rootfs().join("data/link"))
        .unwrap();
    let bundle =
        bundle.add_mount(json!({"destination": "/data/link/inner", "type": "tmpfs", "source": "tmpfs"}));
    let outcome = bundle.output(runtime);
    assert_eq!(outcome.stdout, "inner\n", "{outcome:?}");
    assert_eq!(std::fs::read_dir(victim.path()).unwrap().count(), 0, "a directory was made on the host");
}

fn dangling_destination(runtime: &Arc<Runtime>) {
    let volume = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(volume.path(), "nameserver 10.0.0.1\n").unwrap();
    let bundle = Bundle::new("cat /etc/resolv.conf; ls /run/resolved");
    symlink("../run/resolved/stub.conf", bundle.rootfs().join("etc/resolv.conf")).unwrap();
    let bundle = bundle.add_mount(
        json!({"destination": "/etc/resolv.conf", "type": "bind", "source": volume.path(), "options": ["rbind", "ro"]}),
    );
    assert_eq!(bundle.output(runtime).stdout, "nameserver 10.0.0.1\nstub.conf\n");
}

fn working_directory_escape(runtime: &Arc<Runtime>) {
    // Descriptors of the container's own mounts lead to places in the container; what must not be found is the host.
    assert!(std::path::Path::new("/boot").exists(), "this host has no directory to tell it by");
    for descriptor in 3..24 {
        let bundle = Bundle::new("ls .. ../.. ../../..")
            .set("/process/cwd", json!(format!("/proc/self/fd/{descriptor}")));
        match bundle.run(runtime) {
            Ok(outcome) => {
                assert!(!outcome.stdout.contains("boot"), "descriptor {descriptor} led to {outcome:?}")
            }
            Err(error) => assert!(ballast_runtime::report(&error).contains("working directory"), "{error}"),
        }
    }
}

/// A volume in the place of the kernel's files, full of links to where a mount would do harm.
fn view_over_hostile_mounts(runtime: &Arc<Runtime>) {
    let volume = tempfile::tempdir().unwrap();
    for name in ["meminfo", "stat", "uptime", "online", "present", "cpu", "pressure"] {
        symlink("/etc/passwd", volume.path().join(name)).unwrap();
    }
    for destination in ["/proc", "/proc/pressure", "/sys", "/sys/devices", "/sys/devices/system"] {
        if !std::path::Path::new(destination).exists() {
            // A kernel without PSI has no such place for anybody to mount on.
            continue;
        }
        let mount = json!({"destination": destination, "type": "bind", "source": volume.path(), "options": ["rbind"]});
        let mounted = format!("{destination} ");
        let mut bundle = Bundle::new("cat /etc/passwd").add_mount(mount);
        bundle.config["annotations"] = json!({"ballast.dev/proc-view": "on"});
        let below = if destination.starts_with("/sys") { "/sys" } else { "/proc" };
        bundle.config["linux"]["maskedPaths"] = json!([]);
        bundle.config["linux"]["readonlyPaths"] = json!([]);
        let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
        let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", init.pid())).unwrap();
        container.signal_all(9).unwrap();
        wait(&init);
        container.delete().unwrap();
        assert!(mounts.contains(&mounted), "{mounts}");
        let covered: Vec<_> = mounts
            .lines()
            .filter(|line| line.contains(" fuse.ballast "))
            .map(|line| line.split(' ').nth(4).unwrap())
            .collect();
        assert!(!covered.is_empty(), "the other half is the kernel's: {mounts}");
        let astray = |path: &&&str| match destination {
            "/proc/pressure" => !path.starts_with("/proc/") && !path.starts_with("/sys/"),
            _ => path.starts_with(below) || path.starts_with("/etc"),
        };
        assert_eq!(covered.iter().find(astray), None, "{destination}: {mounts}");
    }
}

fn own_binary(runtime: &Arc<Runtime>) {
    // A container that shares the host's pid namespace watches another one arrive and looks at its program.
    let bundle = Bundle::idle();
    let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
    init.start().unwrap();
    let watch = serde_json::from_value(json!({
        "user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["PATH=/usr/bin"],
        "args": ["sh", "-c", "for p in /proc/[0-9]*; do readlink $p/exe; done"]
    }))
    .unwrap();
    let arriving = Bundle::idle();
    let (other_container, parked) = arriving.create(runtime, Streams::new().io()).unwrap();
    let streams = Streams::new();
    let watcher = container.exec(&watch, streams.io()).unwrap();
    watcher.start().unwrap();
    let outcome = streams.wait(&watcher);
    // The parked one is there to be found; without CAP_SYS_PTRACE its program is not.
    assert!(!outcome.stdout.contains("containers-"), "{outcome:?}");
    for (container, init) in [(container, init), (other_container, parked)] {
        container.signal_all(9).unwrap();
        wait(&init);
        container.delete().unwrap();
    }
}
