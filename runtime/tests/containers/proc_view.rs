//! A container's own view below `/proc` and `/sys`, as programs in it find it.

use super::Test;
use super::bundle::{Bundle, Streams, find_cgroup_mount, wait};
use ballast_cgroups::CpuList;
use ballast_runtime::{Mechanism, Runtime, ShownFile};
use serde_json::{Value, json};
use std::io::{Read, Seek};
use std::path::Path;
use std::sync::Arc;

pub const TESTS: &[(&str, Test)] = &[
    ("a_view_covers_the_kernels_files_and_nothing_else", covered),
    ("memory_and_cpus_are_the_cgroups_limits", limits),
    ("the_cpus_directory_is_the_containers_and_follows_an_update", cpus),
    ("time_begins_with_the_container_for_files_processes_and_execs", time),
    ("a_view_works_in_a_user_namespace_and_for_an_unprivileged_user", user_namespace),
    ("what_the_spec_mounts_itself_stays", own_mounts),
    ("without_an_annotation_there_is_no_view_and_a_wrong_one_is_refused", choice),
    ("what_procps_reads_of_the_host_it_reads_of_a_view", procps),
    ("a_view_ends_with_its_container", end),
    ("a_container_is_narrowed_to_its_quotas_cpus_or_told_that_it_cannot_be", narrowed),
    ("a_container_that_is_narrowed_follows_updates_of_its_quota", narrowed_anew),
    ("who_copies_a_view_by_sendfile_does_not_find_it_empty", sendfile),
];

fn with_view(script: &str) -> Bundle {
    let mut bundle = Bundle::new(script);
    bundle.config["annotations"] = json!({"ballast.dev/proc-view": "on"});
    bundle
}

fn covered(runtime: &Arc<Runtime>) {
    let outcome =
        with_view("grep ' fuse.ballast ' /proc/self/mountinfo | cut -d' ' -f5,6 | sort").output(runtime);
    let mut expected = String::new();
    let names =
        ["cpuinfo", "diskstats", "loadavg", "meminfo", "slabinfo", "stat", "swaps", "uptime", "vmstat"];
    let files = names.map(|name| format!("/proc/{name}"));
    let cpus = ["/sys/devices/system/cpu".to_owned()];
    for path in files.iter().chain(&cpus).filter(|path| Path::new(path).exists()) {
        expected += &format!("{path} ro,nosuid,nodev,noexec,relatime\n");
    }
    assert_eq!(outcome.stdout, expected, "{outcome:?}");
}

fn has_controllers(names: &[&str]) -> bool {
    let controllers = std::fs::read_to_string(find_cgroup_mount().join("cgroup.controllers")).unwrap();
    names.iter().all(|name| controllers.split_whitespace().any(|controller| controller == *name))
}

fn limits(runtime: &Arc<Runtime>) {
    let script = "grep ^MemTotal /proc/meminfo | tr -dc 0-9; echo; free -k | grep ^Mem | tr -s ' ' | cut -d' ' -f2; \
        grep -c ^processor /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat; cat /sys/devices/system/cpu/online; getconf _NPROCESSORS_CONF";
    let mut bundle = with_view(script);
    bundle.config["linux"]["resources"]["cpu"] = json!({"quota": 50_000, "period": 100_000});
    bundle.config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    if has_controllers(&["cpu", "memory"]) {
        assert_eq!(bundle.output(runtime).stdout, "65536\n65536\n1\n1\n0\n1\n");
    } else {
        // Limits are refused then; the view still has to come from the container's cgroup where it can.
        bundle.config["linux"]["resources"].as_object_mut().unwrap().retain(|key, _| key == "devices");
        let outcome = bundle.output(runtime);
        let host = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
        assert_eq!(outcome.stdout.lines().nth(4), Some(host.trim()), "{outcome:?}");
    }
}

fn cpus(runtime: &Arc<Runtime>) {
    let script = "cd /sys/devices/system/cpu; ls -d cpu[0-9]* | wc -l; cat cpu0/topology/package_cpus_list online; \
        echo 0 2>/dev/null > online || echo refused; lscpu -p=CPU | grep -c ^[0-9]";
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let count = online.trim().rsplit(['-', ',']).next().unwrap().parse::<u32>().unwrap() + 1;
    let outcome = with_view(script).output(runtime);
    assert_eq!(outcome.stdout, format!("{count}\n{online}{online}refused\n{count}\n"), "{outcome:?}");
    if !has_controllers(&["cpu"]) || count < 2 {
        return;
    }
    let mut bundle = with_view("");
    bundle.config["linux"]["resources"]["cpu"] = json!({"quota": 100_000, "period": 100_000});
    let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
    let root = format!("/proc/{}/root/sys/devices/system/cpu", init.pid());
    let shown = || std::fs::read_to_string(format!("{root}/online")).unwrap();
    assert_eq!(shown(), "0\n");
    let resources = json!({"cpu": {"quota": 200_000, "period": 100_000}});
    container.update(&serde_json::from_value(resources).unwrap()).unwrap();
    assert_eq!(shown(), "0-1\n");
    assert!(Path::new(&format!("{root}/cpu1")).is_dir());
    init.signal(9).unwrap();
    wait(&init);
    container.delete().unwrap();
}

fn time(runtime: &Arc<Runtime>) {
    let script =
        "cut -d' ' -f1 /proc/uptime; ps -o etimes= -p 1; grep ^btime /proc/stat | cut -d' ' -f2; date +%s";
    let numbers =
        |text: &str| -> Vec<f64> { text.split_whitespace().map(|word| word.parse().unwrap()).collect() };
    let outcome = with_view(script).output(runtime);
    let read = numbers(&outcome.stdout);
    let [uptime, elapsed, booted, now] = read[..] else { panic!("{outcome:?}") };
    let consistent = (now - uptime - booted).abs() <= 2.0 && (0.0..30.0).contains(&elapsed);
    assert!(consistent, "{outcome:?}");
    if !Path::new("/proc/self/ns/time").exists() {
        return;
    }
    assert!(uptime < 30.0, "{outcome:?}");

    let mut bundle = with_view("");
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
    init.start().unwrap();
    let process = json!({
        "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", script], "env": ["PATH=/usr/bin"], "cwd": "/"
    });
    let streams = Streams::new();
    let exec = container.exec(&serde_json::from_value(process).unwrap(), streams.io()).unwrap();
    exec.start().unwrap();
    let outcome = streams.wait(&exec);
    let read = numbers(&outcome.stdout);
    assert!(read[0] < 30.0 && (0.0..30.0).contains(&read[1]), "{outcome:?}");
    container.signal_all(9).unwrap();
    wait(&init);
    container.delete().unwrap();
}

/// Programs that parse every line; some cannot read every kernel's `/proc` (user-mode Linux), view or not.
fn procps(runtime: &Arc<Runtime>) {
    for program in ["free", "vmstat", "vmstat -s", "uptime", "ps -ef", "top -bn1"] {
        let script = format!("{program} > /tmp/output; echo $?; wc -l < /tmp/output");
        let (plain, viewed) = (Bundle::new(&script).output(runtime), with_view(&script).output(runtime));
        let code = |outcome: &super::bundle::Outcome| outcome.stdout.lines().next().map(str::to_owned);
        assert_eq!(code(&plain), code(&viewed), "{program}: {plain:?} {viewed:?}");
        if !program.starts_with("top") && !program.starts_with("ps") {
            assert_eq!(plain.stdout, viewed.stdout, "{program}");
        }
    }
}

fn user_namespace(runtime: &Arc<Runtime>) {
    let mut bundle =
        with_view("head -c 5 /proc/stat; cut -d. -f1 /proc/uptime; cat /sys/devices/system/cpu/offline");
    let mappings = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    bundle.config["linux"]["uidMappings"] = mappings.clone();
    bundle.config["linux"]["gidMappings"] = mappings;
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    let traversable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bundle.path(), traversable).unwrap();
    let outcome = bundle.output(runtime);
    assert!(outcome.stdout.starts_with("cpu  "), "{outcome:?}");
    assert!(outcome.stdout.ends_with("\n\n"), "no CPU is offline: {outcome:?}");
}

fn own_mounts(runtime: &Arc<Runtime>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("meminfo");
    std::fs::write(&file, "mine\n").unwrap();
    let mount: Value =
        json!({"destination": "/proc/meminfo", "type": "bind", "source": file, "options": ["bind", "ro"]});
    let outcome = with_view("cat /proc/meminfo; head -c 5 /proc/stat").add_mount(mount).output(runtime);
    assert_eq!(outcome.stdout, "mine\ncpu  ", "{outcome:?}");
}

fn choice(runtime: &Arc<Runtime>) {
    let script = "grep -c fuse.ballast /proc/self/mountinfo";
    assert_eq!(Bundle::new(script).output(runtime).stdout, "0\n");
    let mut some = Bundle::new(script);
    some.config["annotations"] = json!({"ballast.dev/proc-view": "stat,uptime"});
    assert_eq!(some.output(runtime).stdout, "2\n");
    some.config["annotations"] = json!({"ballast.dev/proc-view": "memory"});
    let refusal = some.refusal(runtime);
    assert!(refusal.contains("ballast.dev/proc-view") && refusal.contains("\"memory\""), "{refusal}");
}

fn end(runtime: &Arc<Runtime>) {
    let bundle = with_view("");
    let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
    let mut open = std::fs::File::open(format!("/proc/{}/root/proc/stat", init.pid())).unwrap();
    let mut read = String::new();
    open.read_to_string(&mut read).unwrap();
    let view = container.describe_view().unwrap();
    assert!(read.starts_with("cpu  ") && view.reads > 0 && view.fallbacks == 0, "{view:?}");
    let stat = ShownFile { path: c"/proc/stat", mechanism: Mechanism::Live };
    assert!(view.files.contains(&stat), "{view:?}");
    init.signal(9).unwrap();
    wait(&init);
    container.delete().unwrap();
    assert_eq!(container.describe_view(), None);
    open.rewind().unwrap();
    let read = open.read_to_string(&mut read).map_err(|error| error.kind());
    assert_eq!(read, Err(std::io::ErrorKind::NotConnected), "nobody serves it any more");
    bundle.assert_nothing_left();
}

/// What copies by `sendfile(2)`, busybox `cat` for one, must learn that it has to read instead, and must not find the file empty.
/// Our EINVAL comes as it is, or, on Linux 7, as EIO.
fn sendfile(runtime: &Arc<Runtime>) {
    let program = r#"pipe(my $reader, my $writer); my $n = `uname -m` =~ /x86_64/ ? 40 : 71;
        for my $name ("meminfo", "stat") {
            open(my $file, "<", "/proc/$name"); my $sent = syscall($n, fileno($writer), fileno($file), 0, 65536);
            print $sent > 100 || $!{EINVAL} || $!{EIO} ? "well " : "$sent $! ";
        }
        print length `tail -n 1 /proc/vmstat` > 1 ? "well" : "no end";"#;
    let outcome =
        with_view("").set("/process/args", json!(["perl", "-MErrno", "-e", program])).output(runtime);
    assert_eq!(outcome.stdout, "well well well", "{outcome:?}");
}

fn narrowed(runtime: &Arc<Runtime>) {
    let asking = |value: &str| {
        let annotations = json!({"ballast.dev/cpu-view": value, "ballast.dev/proc-view": "on"});
        Bundle::new("nproc; cat /sys/devices/system/cpu/online").set("/annotations", annotations)
    };
    let refusal = asking("on").refusal(runtime);
    assert!(refusal.contains("ballast.dev/cpu-view") && refusal.contains("\"on\""), "{refusal}");
    if has_controllers(&["cpu", "cpuset"]) {
        let quota = json!({"quota": 100_000, "period": 100_000});
        let one = asking("cpuset").set("/linux/resources/cpu", quota);
        assert_eq!(one.output(runtime).stdout, "1\n0\n");
        let free = asking("cpuset").output(runtime).stdout;
        assert_eq!(free, asking("files").output(runtime).stdout, "without a quota");
    } else {
        let refusal = asking("cpuset").refusal(runtime);
        assert!(refusal.contains("cpuset"), "{refusal}");
        // The node's policy is no reason to refuse.
        let mut silent = asking("cpuset");
        silent.config["annotations"].as_object_mut().unwrap().remove("ballast.dev/cpu-view");
        silent.policy.cpu_view = ballast_runtime::CpuView::Cpuset;
        let (container, init) = silent.create(runtime, Streams::new().io()).unwrap();
        let shortfalls = container.take_shortfalls();
        assert!(shortfalls.len() == 1 && container.take_shortfalls().is_empty(), "{shortfalls:?}");
        init.signal(9).unwrap();
        wait(&init);
        container.delete().unwrap();
    }
}

fn narrowed_anew(runtime: &Arc<Runtime>) {
    if !has_controllers(&["cpu", "cpuset"]) {
        return;
    }
    let quota = |cpus: i64| json!({"quota": cpus * 100_000, "period": 100_000});
    let made = |cpus: i64| {
        let annotations = json!({"ballast.dev/cpu-view": "cpuset", "ballast.dev/proc-view": "on"});
        let bundle = Bundle::idle().set("/annotations", annotations).set("/linux/resources/cpu", quota(cpus));
        let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
        (bundle, container, init)
    };
    let (bundle, container, init) = made(1);
    let cgroup = find_cgroup_mount().join("ballast").join(&bundle.id);
    let effective =
        || CpuList::parse(&std::fs::read_to_string(cgroup.join("cpuset.cpus.effective")).unwrap());
    // Those that it may run on; it sees as many.
    let cpus = || {
        let cpus = effective().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", init.pid())).unwrap();
        let affinity = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        assert_eq!(CpuList::parse(affinity).as_ref(), Some(&cpus));
        let online = format!("/proc/{}/root/sys/devices/system/cpu/online", init.pid());
        let online = CpuList::parse(&std::fs::read_to_string(online).unwrap());
        assert_eq!(online, Some(CpuList::first(cpus.len())));
        cpus
    };
    let update = |cpu: Value| {
        container.update(&serde_json::from_value(json!({"cpu": cpu})).unwrap()).unwrap();
        cpus()
    };
    let one = cpus();
    assert_eq!(one.len(), 1);
    let other = made(1);
    let two = update(quota(2));
    let is_within = |few: &CpuList, many: &CpuList| few.iter().all(|cpu| many.contains(cpu));
    assert!(two.len() == 2 && is_within(&one, &two), "{one}, then {two}");
    let again = update(quota(1));
    assert!(again.len() == 1 && is_within(&again, &two), "{two}, then {again}");
    let free = update(json!({"quota": -1}));
    assert!(free.len() > 2, "{free}");
    assert_eq!(update(quota(1)).len(), 1);
    for (bundle, container, init) in [other, (bundle, container, init)] {
        init.signal(9).unwrap();
        wait(&init);
        container.delete().unwrap();
        bundle.assert_nothing_left();
    }
}
