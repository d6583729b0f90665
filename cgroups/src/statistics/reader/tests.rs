use super::*;
use crate::cgroup::tests::stand_in_cgroup;
use crate::error::Kind;

fn cgroup_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroup) {
    let root = tempfile::tempdir().unwrap();
    let cgroup = stand_in_cgroup(root.path(), "cpu memory", &[]);
    for (file, content) in files {
        std::fs::write(root.path().join("box").join(file), content).unwrap();
    }
    (root, cgroup)
}

#[test]
fn controllers_that_are_not_there_leave_their_part_empty() {
    let (_root, cgroup) = cgroup_with(&[("cpu.stat", "usage_usec 7\n")]);
    let statistics = StatisticsReader::new(&cgroup).unwrap().read().unwrap();
    assert_eq!(statistics.cpu.usage_usec, 7);
    assert_eq!((statistics.pids, statistics.memory, statistics.memory_events), (None, None, None));
    assert!(statistics.io.is_empty() && statistics.hugetlb.is_empty());
}

#[test]
fn every_file_finds_its_field() {
    let (_root, cgroup) = cgroup_with(&[
        ("pids.current", "3\n"),
        ("pids.max", "max\n"),
        ("memory.current", "100\n"),
        ("memory.max", "max\n"),
        ("memory.peak", "200\n"),
        ("memory.swap.current", "1\n"),
        ("memory.swap.max", "2\n"),
        ("memory.swap.peak", "3\n"),
        ("memory.stat", "anon 10\nthp_collapse_alloc 11\n"),
        ("memory.events", "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n"),
        ("memory.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=8\n"),
        ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n"),
        ("rdma.current", "mlx4_0 hca_handle=2 hca_object=3\n"),
        ("hugetlb.2MB.current", "4096\n"),
        ("hugetlb.2MB.rsvd.current", "1\n"),
        ("hugetlb.2MB.max", "8192\n"),
        ("hugetlb.2MB.events", "max 9\n"),
    ]);
    let mut reader = StatisticsReader::new(&cgroup).unwrap();
    let statistics = reader.read().unwrap();
    assert_eq!(statistics.pids, Some(PidsStatistics { current: 3, limit: u64::MAX }));
    let memory = statistics.memory.unwrap();
    assert_eq!((memory.usage, memory.usage_limit, memory.usage_peak), (100, u64::MAX, 200));
    assert_eq!((memory.swap_usage, memory.swap_limit, memory.swap_peak), (1, 2, 3));
    assert_eq!((memory.stat.anon, memory.stat.thp_collapse_alloc), (10, 11));
    let events = MemoryEvents { low: 1, high: 2, max: 3, oom: 4, oom_kill: 5, oom_group_kill: 6 };
    assert_eq!(statistics.memory_events, Some(events));
    assert_eq!(reader.read_memory_events().unwrap(), Some(events));
    assert_eq!(statistics.memory_pressure.unwrap().some.total_usec, 8);
    assert_eq!(statistics.io[0].wios, 4);
    assert_eq!(statistics.rdma_current[0].hca_objects, 3);
    let hugetlb = HugetlbStatistics { page_size: "2MB".into(), current: 4096, max: 8192, failures: 9 };
    assert_eq!(statistics.hugetlb, [hugetlb]);
}

#[test]
fn a_second_read_sees_new_values_through_the_same_descriptors() {
    let (root, cgroup) = cgroup_with(&[("cpu.stat", "usage_usec 1\n")]);
    let mut reader = StatisticsReader::new(&cgroup).unwrap();
    let mut statistics = reader.read().unwrap();
    std::fs::write(root.path().join("box/cpu.stat"), "usage_usec 22222\n").unwrap();
    reader.read_into(&mut statistics).unwrap();
    assert_eq!(statistics.cpu.usage_usec, 22222);
}

#[test]
fn a_file_longer_than_the_buffer_is_read_whole() {
    let lines: String = (0..2000).map(|index| format!("key_{index} 1\n")).collect();
    let (_root, cgroup) = cgroup_with(&[("cpu.stat", &format!("{lines}usage_usec 5\n"))]);
    assert_eq!(StatisticsReader::new(&cgroup).unwrap().read().unwrap().cpu.usage_usec, 5);
}

#[test]
fn a_malformed_file_is_named() {
    let (_root, cgroup) = cgroup_with(&[("cpu.stat", "nonsense\n")]);
    let error = StatisticsReader::new(&cgroup).unwrap().read().unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(error.to_string().contains("cpu.stat"), "{error}");
}
