//! Images and processes that try to reach the host. Each names the attack that it stands for.

use super::Test;
use super::bundle::{Bundle, Streams, wait};
use ballast_runtime::Runtime;
use serde_json::json;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

pub const TESTS: &[(&str, Test)] = &[
    ("a_rootfs_whose_proc_is_a_symlink_is_refused_cve_2019_19921", proc_symlink),
    ("a_dev_that_is_a_symlink_stays_inside_the_rootfs", dev_symlink),
    ("a_mount_destination_through_symlinks_stays_inside_the_rootfs_cve_2021_30465", destination_symlink),
    ("a_dangling_symlink_destination_is_made_inside_the_rootfs", dangling_destination),
    ("a_working_directory_in_proc_self_fd_does_not_lead_out_cve_2024_21626", working_directory_escape),
    ("a_view_is_not_led_astray_by_what_is_mounted_below_proc_and_sys", view_over_hostile_mounts),
    (
        "shim_spawner_and_a_process_that_joins_a_container_cannot_be_looked_into_from_there_cve_2016_9962",
        joining,
    ),
];

/// Those that need a setting of the whole machine.
pub const TESTS_WITH_SETTINGS: &[crate::ConditionalTest] = &[(
    "a_process_that_joins_as_another_user_cannot_be_looked_into_where_the_node_dumps_such_processes",
    joining_as_a_user,
    || Sysctl::obstacle(SUID_DUMPABLE),
)];

const SUID_DUMPABLE: &str = "/proc/sys/fs/suid_dumpable";

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
    // More than the recipe ever has open.
    for descriptor in 3..96 {
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

/// Prints what it could do to the processes that it is given: what a look at `/proc/<pid>` and `ptrace(PTRACE_SEIZE)` show.
const LOOK_INTO: &str = r#"
    for my $p (@ARGV) {
        print "$p program\n" if defined readlink("/proc/$p/exe");
        print "$p descriptors\n" if defined readlink("/proc/$p/fd/0");
        print "$p memory\n" if open(my $memory, "<", "/proc/$p/mem");
        print "$p traced\n" if syscall(101, 0x4206, $p + 0, 0, 0) == 0;
    }
"#;

fn joining(runtime: &Arc<Runtime>) {
    nobody_looks_into_what_joins_as(runtime, 0);
}

fn joining_as_a_user(runtime: &Arc<Runtime>) {
    let _dumped = Sysctl::set(SUID_DUMPABLE, "1");
    nobody_looks_into_what_joins_as(runtime, 1000);
}

/// A setting of the whole machine; what it was comes back at the end.
struct Sysctl {
    path: &'static str,
    before: String,
}

impl Sysctl {
    /// Why it cannot be set here.
    fn obstacle(path: &str) -> Option<String> {
        let opened = std::fs::OpenOptions::new().write(true).open(path);
        opened.err().map(|error| format!("{path} cannot be written: {error}"))
    }

    fn set(path: &'static str, value: &str) -> Self {
        let before = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, value).unwrap();
        Self { path, before }
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        std::fs::write(self.path, &self.before).unwrap();
    }
}

fn nobody_looks_into_what_joins_as(runtime: &Arc<Runtime>, uid: u32) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent");
    let _agent = UnixListener::bind(&path).unwrap();
    // In the host's pid namespace every process can be named. The notifier is where a process waits for the runtime after it has
    // given up all that the container has not: from there to its execve only its not being dumpable protects it.
    let mut bundle = Bundle::idle().set(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path,
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]
        }),
    );
    let namespaces =
        bundle.config.pointer_mut("/linux/namespaces").and_then(|all| all.as_array_mut()).unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
    init.start().unwrap();
    let confined = |arguments: Vec<String>| {
        let mut process = bundle.config["process"].clone();
        process["args"] = json!(arguments);
        process["user"] = json!({"uid": uid, "gid": uid});
        if uid != 0 {
            // With any that `execve` takes away it would be out of reach of what has been executed.
            process["capabilities"] = json!({});
        }
        serde_json::from_value(process).unwrap()
    };
    let streams = Streams::new();
    let arriving = container.exec(&confined(vec!["true".into()]), streams.io()).unwrap();
    while !status_of(arriving.pid()).contains("\nSeccomp:\t2\n") {
        std::thread::yield_now();
    }

    let idle = container.exec(&confined(vec!["sleep".into(), "1000".into()]), Streams::new().io()).unwrap();
    idle.start().unwrap();

    let own = [std::process::id(), runtime.spawner().pid(), arriving.pid()];
    let look_into = |pids: &[u32]| {
        let command = ["perl", "-e", LOOK_INTO].map(String::from).into_iter();
        let process = confined(command.chain(pids.iter().map(u32::to_string)).collect());
        let streams = Streams::new();
        let attacker = container.exec(&process, streams.io()).unwrap();
        attacker.start().unwrap();
        streams.wait(&attacker)
    };
    let (outcome, of_its_own) = (look_into(&own), look_into(&[idle.pid()]));
    assert_eq!((&*outcome.stdout, &*outcome.stderr), ("", ""), "shim, spawner and exec are {own:?}");
    idle.signal(9).unwrap();
    wait(&idle);
    // What the attacker tries is what can be done to a process with its own rights.
    assert!(
        of_its_own.stdout.contains("program") && of_its_own.stdout.contains("descriptors"),
        "{of_its_own:?}"
    );

    arriving.start().unwrap();
    assert_eq!(streams.wait(&arriving).status, 0);
    container.signal_all(9).unwrap();
    wait(&init);
    container.delete().unwrap();
    bundle.assert_nothing_left();
}

fn status_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap()
}
