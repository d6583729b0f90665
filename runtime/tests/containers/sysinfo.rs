//! `sysinfo(2)` as a container's own view, as programs of both widths get it.

use super::Test;
use super::bundle::{Bundle, Outcome, Streams, wait};
use ballast_runtime::{Process, Runtime, ViewPolicy};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

pub const TESTS: &[(&str, Test)] = &[
    ("sysinfo_says_what_the_files_of_the_view_say", agrees),
    ("without_an_annotation_sysinfo_is_the_hosts_and_the_policy_gives_it_to_those_with_a_view", choice),
    ("a_program_of_32_bits_gets_its_own_form_of_sysinfo", narrow),
    ("execs_and_unprivileged_users_get_the_containers_sysinfo", execs),
    ("the_containers_own_profile_stands_beside_the_filter_of_sysinfo", own_profile),
    ("a_profile_with_a_listener_and_sysinfo_are_refused_together", two_listeners),
    ("a_page_that_is_still_to_come_is_waited_for_by_its_caller_alone", page_to_come),
];

/// The program's number for the call, and where in the structure what is.
const CALL: &str = r#"
    $n = `uname -m` =~ /x86_64/ ? 99 : 179;
    sub figures { my $b = "\0" x 112; my $r = syscall($n, $b); die "$r $!" if $r; return unpack("qQ9S", $b); }
"#;

fn perl(program: &str) -> Bundle {
    Bundle::new("").set("/process/args", json!(["perl", "-e", format!("{CALL} {program}")]))
}

fn asking(bundle: Bundle) -> Bundle {
    bundle.set("/annotations", json!({"ballast.dev/sysinfo": "on", "ballast.dev/proc-view": "on"}))
}

/// Prints what differs between the call and the files, and then the call's uptime and number of tasks.
const COMPARE: &str = r#"
    sub file { local (@ARGV, $/) = shift; return scalar <> }
    my ($uptime, @loads) = (figures())[0 .. 3]; my $tasks = (figures())[10];
    my (%kib, $free, @differences);
    # Without controllers some figures are the machine's, which moves between one look and the next.
    for (1 .. 100) {
        my ($total, $shared, $buffers, $swap, $swap_free);
        ($total, $free, $shared, $buffers, $swap, $swap_free) = (figures())[4 .. 9];
        %kib = file("/proc/meminfo") =~ /^(\S+):\s+(\d+)/mg;
        my %bytes = (MemTotal => $total, Shmem => $shared, Buffers => $buffers, SwapTotal => $swap, SwapFree => $swap_free);
        @differences = map { $bytes{$_} == 1024 * $kib{$_} ? () : "$_ $bytes{$_} $kib{$_}\n" } sort keys %bytes;
        last if !@differences;
    }
    print @differences;
    # What moves while it is looked at.
    print "MemFree $free $kib{MemFree}\n" if abs($free - 1024 * $kib{MemFree}) > 1 << 28;
    my ($text_uptime) = file("/proc/uptime") =~ /^(\d+)/;
    print "uptime $uptime $text_uptime\n" if abs($uptime - $text_uptime) > 5;
    my ($load, $text_tasks) = file("/proc/loadavg") =~ m{^(\S+) .* \d+/(\d+) };
    print "load $loads[0] $load\n" if abs($loads[0] / 65536 - $load) > 0.5;
    print "tasks $tasks $text_tasks\n" if $tasks != $text_tasks;
    print "$uptime $tasks\n";
"#;

#[track_caller]
fn agreed(outcome: &Outcome) {
    let numbers: Vec<u64> = outcome.stdout.split_whitespace().flat_map(str::parse).collect();
    let [uptime, tasks] = numbers[..] else { panic!("{outcome:?}") };
    assert!(uptime < 60 && (1..20).contains(&tasks), "{outcome:?}");
}

fn agrees(runtime: &Arc<Runtime>) {
    agreed(&asking(perl(COMPARE)).output(runtime));
}

fn choice(runtime: &Arc<Runtime>) {
    let host = rustix::system::sysinfo();
    let tasks = |outcome: Outcome| outcome.stdout.trim().parse::<u16>().unwrap();
    let program = "print((figures())[10])";
    // The machine has more tasks than this container.
    assert!(host.procs > 20);
    assert!(tasks(perl(program).output(runtime)) > 20);
    let mut bundle = perl(program);
    bundle.policy = ViewPolicy { sysinfo: true, ..ViewPolicy::default() };
    assert!(tasks(bundle.output(runtime)) > 20, "it has no limit, so no view");
    bundle.config["annotations"] = json!({"ballast.dev/proc-view": "on"});
    assert!(tasks(bundle.output(runtime)) < 20);
    bundle.config["annotations"]["ballast.dev/sysinfo"] = json!("off");
    assert!(tasks(bundle.output(runtime)) > 20);
    let alone = perl(program).set("/annotations", json!({"ballast.dev/sysinfo": "on"}));
    assert!(tasks(alone.output(runtime)) < 20, "it needs no view");
    let wrong = perl(program).set("/annotations", json!({"ballast.dev/sysinfo": "true"}));
    let refusal = wrong.refusal(runtime);
    assert!(refusal.contains("ballast.dev/sysinfo") && refusal.contains("\"true\""), "{refusal}");
}

/// An i386 program as an ELF file with one segment: `sysinfo` into a zeroed stack, which it writes to standard output; its
/// status is the call's negated result.
fn narrow_program() -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const CODE: &[u8] = &[
        0x83, 0xec, 0x40, // sub esp, 64
        0x89, 0xe7, 0x31, 0xc0, 0xb9, 0x10, 0, 0, 0, 0xf3, 0xab, // fill 16 words at esp with 0
        0xb8, 116, 0, 0, 0, 0x89, 0xe3, 0xcd, 0x80, // sysinfo(esp)
        0x89, 0xc6, 0xf7, 0xde, // esi = -result
        0xb8, 4, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0x89, 0xe1, 0xba, 64, 0, 0, 0, 0xcd,
        0x80, // write(1, esp, 64)
        0xb8, 1, 0, 0, 0, 0x89, 0xf3, 0xcd, 0x80, // exit(esi)
    ];
    const HEADERS: u32 = 52 + 32;
    let length = HEADERS + u32::try_from(CODE.len()).unwrap();
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |width: usize, value: u32| file.extend_from_slice(&value.to_le_bytes()[..width]);
    for (width, value) in [
        (2, 2), // executable
        (2, 3), // i386
        (4, 1),
        (4, BASE + HEADERS), // entry
        (4, 52),             // program header
        (4, 0),
        (4, 0),
        (2, 52),
        (2, 32),
        (2, 1),
        (2, 0),
        (2, 0),
        (2, 0),
        // The segment: load, from the file's start, read and execute.
        (4, 1),
        (4, 0),
        (4, BASE),
        (4, BASE),
        (4, length),
        (4, length),
        (4, 5),
        (4, 4096),
    ] {
        put(width, value);
    }
    file.extend_from_slice(CODE);
    file
}

fn narrow(runtime: &Arc<Runtime>) {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let script = "/root/narrow | od -An -v -tu4; grep ^MemTotal: /proc/meminfo | tr -dc 0-9";
    let bundle = asking(Bundle::new(script));
    let program = bundle.rootfs().join("root/narrow");
    std::fs::write(&program, narrow_program()).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    if std::process::Command::new(&program).output().is_err() {
        // This kernel runs no such programs; user-mode Linux is one.
        return;
    }
    let outcome = bundle.output(runtime);
    let words: Vec<u64> = outcome.stdout.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!(words.len(), 17, "{outcome:?}");
    let (uptime, total, tasks, unit) = (words[0], words[4], words[10], words[13]);
    let whole = words[16] * 1024;
    assert!(uptime < 60 && (1..20).contains(&tasks), "{outcome:?}");
    assert_eq!(total, whole / unit, "{outcome:?}");
    assert_eq!(unit, if whole >> 32 == 0 { 1 } else { 4096 }, "{outcome:?}");
}

fn execs(runtime: &Arc<Runtime>) {
    let bundle = asking(Bundle::idle());
    let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
    init.start().unwrap();
    for user in [0, 1000] {
        let process = json!({
            "user": {"uid": user, "gid": user}, "args": ["perl", "-e", format!("{CALL} {COMPARE}")],
            "env": ["PATH=/usr/bin"], "cwd": "/"
        });
        let streams = Streams::new();
        let exec = container.exec(&serde_json::from_value(process).unwrap(), streams.io()).unwrap();
        exec.start().unwrap();
        agreed(&streams.wait(&exec));
    }
    end(&container, &init);
    bundle.assert_nothing_left();
}

fn end(container: &ballast_runtime::Container, init: &Process) {
    container.signal_all(9).unwrap();
    wait(init);
    container.delete().unwrap();
}

fn own_profile(runtime: &Arc<Runtime>) {
    let profile = |syscalls: Value| {
        json!({
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": syscalls,
        })
    };
    // What CRI's profile does without CAP_SYS_ADMIN: nobody may load a filter after it.
    let no_more = json!([{"names": ["seccomp", "pidfd_getfd", "sendmsg"], "action": "SCMP_ACT_ERRNO"}]);
    agreed(&asking(perl(COMPARE)).set("/linux/seccomp", profile(no_more.clone())).output(runtime));
    let privileged = asking(perl(COMPARE)).set("/process/noNewPrivileges", json!(false));
    agreed(&privileged.set("/linux/seccomp", profile(no_more)).output(runtime));
    // What the profile refuses stays refused.
    let refused = json!([{"names": ["sysinfo"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]);
    let outcome = asking(perl("print syscall($n, my $b = ' ' x 112), ' ', 0 + $!"))
        .set("/linux/seccomp", profile(refused))
        .output(runtime);
    assert_eq!(outcome.stdout, "-1 77", "{outcome:?}");
    let user = asking(perl(COMPARE)).set("/process/user", json!({"uid": 1000, "gid": 1000}));
    agreed(&user.set("/process/noNewPrivileges", json!(false)).output(runtime));
}

fn two_listeners(runtime: &Arc<Runtime>) {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nonexistent/agent",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    });
    let refusal = asking(Bundle::new("true")).set("/linux/seccomp", profile).refusal(runtime);
    assert!(refusal.contains("ballast.dev/sysinfo") && refusal.contains("SCMP_ACT_NOTIFY"), "{refusal}");
}

/// A page that only its owner can bring: `userfaultfd(2)`, which needs `CAP_SYS_PTRACE` for faults of the kernel's. One process
/// calls with it, another is told that somebody waits for it, calls as well, and brings it.
const PAGE_TO_COME: &str = r#"
    $| = 1;
    my ($mmap, $userfaultfd) = $n == 99 ? (9, 323) : (222, 282);
    my $descriptor = syscall($userfaultfd, 0);
    if ($descriptor < 0) { print "none\n"; exit }
    open(my $faults, "+<&=", $descriptor) or die "$!";
    my $api = pack("QQQ", 0xaa, 0, 0); ioctl($faults, 0xc018aa3f, $api) or die "api $!";
    my $page = syscall($mmap, 0, 4096, 3, 0x22, -1, 0);
    my $register = pack("QQQQ", $page, 4096, 1, 0); ioctl($faults, 0xc020aa00, $register) or die "register $!";
    my $other = fork();
    if (!$other) {
        sysread($faults, my $message, 32);
        print "waits ", (figures())[10] < 20 ? "alone" : "with others", "\n";
        my $zeros = pack("QQQq", $page, 4096, 0, 0); ioctl($faults, 0xc020aa04, $zeros) or die "zeropage $!";
        exit;
    }
    my $result = syscall($n, $page); waitpid($other, 0); print "$result\n";
"#;

fn page_to_come(runtime: &Arc<Runtime>) {
    let mut bundle = asking(perl(PAGE_TO_COME));
    for set in ["bounding", "effective", "permitted"] {
        let set = bundle.config["process"]["capabilities"][set].as_array_mut().unwrap();
        set.push(json!("CAP_SYS_PTRACE"));
    }
    let outcome = bundle.output(runtime);
    // A kernel can be without userfaultfd(2).
    assert!(["waits alone\n0\n", "none\n"].contains(&&*outcome.stdout), "{outcome:?}");
}
