//! How texts are read: in pieces of any size, at any offset, again from the start, through many descriptors.

use std::fs;
use std::io::{BufRead, BufReader};

use super::readers::Readers;
use super::{PROGRAMS, asking, limited, node};
use ballast_integration::testbed::container::BUSYBOX;
use ballast_integration::testbed::process::ask_until;
use serde_json::json;

/// Every file of a view but those of which a kernel may have none.
const FILES: [&str; 9] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/vmstat",
    "/sys/devices/system/cpu/online",
];

/// Texts of one file at two moments differ in numbers and in blanks before them alone. Prints what is wrong.
const IN_PIECES: &str = "
import os, re, sys

def shape(text):
    return re.sub(rb'\\s+', b' ', re.sub(rb'\\d+', b'#', text))

def pieces(read, sizes):
    text = b''
    while True:
        piece = read(sizes[len(text) % len(sizes)], len(text))
        if not piece:
            return text
        text += piece

for path in sys.argv[1:]:
    with open(path, 'rb') as file:
        expected = shape(file.read())
    for sizes in [1], [2, 3, 7], [333], [4095, 4097], [1 << 20]:
        file = os.open(path, os.O_RDONLY)
        for way, read in (
            ('read', lambda size, offset: os.read(file, size)),
            ('pread', lambda size, offset: os.pread(file, size, offset)),
            ('read from the start again', lambda size, offset: os.read(file, size)),
        ):
            os.lseek(file, 0, os.SEEK_SET)
            text = pieces(read, sizes)
            if shape(text) != expected:
                print(path, sizes, way, text)
        if os.pread(file, 100, 1 << 20) != b'':
            print(path, 'beyond the end')
        os.close(file)
";

#[test]
fn any_way_to_read_a_file_shows_all_of_one_text() {
    let mut node = node();
    node.pull(PROGRAMS);
    let pod = node.pod(asking());
    let mut differences = limited();
    differences["image"] = json!({"image": PROGRAMS});
    let container = pod.start(differences);
    assert_eq!(container.exec(&[&["python3", "-c", IN_PIECES], &FILES[..]].concat()), "");
}

#[test]
fn five_hundred_descriptors_are_read_again_and_again() {
    let mut node = node();
    node.pull(PROGRAMS);
    let pod = node.pod(asking());
    let readers = Readers::start(&pod, 500, "held", &FILES);
    let descriptors = format!("/proc/{}/fd", readers.container.process().pid);
    ask_until("all descriptors", || (fs::read_dir(&descriptors).unwrap().count() > 500).then_some(()));
    readers.wait_for_texts(2000);
    assert_eq!(readers.failures(), 0);
}

#[test]
fn a_program_that_keeps_its_descriptors_sees_changes() {
    let mut node = node();
    let pod = node.pod(asking());
    let container = pod.start(limited());
    let mut free = container.spawn_exec(&["free", "-k", "-s", "0.1"]);
    let mut shared_kib = BufReader::new(free.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .filter(|line| line.starts_with("Mem:"))
        .map(|line| line.split_whitespace().nth(4).unwrap().parse::<u64>().unwrap());
    assert!(shared_kib.next().unwrap() < 16 * 1024);
    container.exec(&["sh", "-c", "head -c 16777216 /dev/zero > /dev/shm/a"]);
    assert!(shared_kib.any(|kib| kib >= 16 * 1024), "it ended before it saw the file");
    free.kill().unwrap();
    free.wait().unwrap();
}

#[test]
fn a_shell_reads_the_view_a_byte_at_a_time() {
    let mut node = node();
    let pod = node.pod(asking());
    let mut differences = limited();
    differences["image"] = json!({"image": BUSYBOX});
    let container = pod.start(differences);
    let script =
        "while read -r key value unit; do case $key in MemTotal:) echo $value;; esac; done < /proc/meminfo";
    assert_eq!(container.exec(&["sh", "-c", script]), "65536");
    let lines = container.exec(&[
        "sh",
        "-c",
        "while read -r line; do echo \"$line\"; done < /proc/vmstat | wc -l; wc -l < /proc/vmstat",
    ]);
    let counts: Vec<&str> = lines.split_whitespace().collect();
    assert_eq!(counts[0], counts[1]);
}
