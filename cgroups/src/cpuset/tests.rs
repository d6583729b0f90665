//! On a stand-in of ordinary files. What the kernel does with them is tested on a kernel that has the controller.

use super::*;
use crate::hierarchy::Hierarchy;
use crate::hierarchy::tests::stand_in;

/// A pod whose cgroup may run on `effective`, with containers at `cpuset.cpus` as given.
struct Node {
    root: tempfile::TempDir,
    hierarchy: Hierarchy,
}

impl Node {
    fn new(effective: &str, containers: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let hierarchy = stand_in(root.path(), "cpuset");
        std::fs::create_dir(root.path().join("pod")).unwrap();
        std::fs::write(root.path().join("pod/cpuset.cpus.effective"), effective).unwrap();
        let node = Self { root, hierarchy };
        for (name, cpus) in containers {
            std::fs::create_dir(node.root.path().join("pod").join(name)).unwrap();
            node.write(name, "cgroup.controllers", "cpuset");
            node.write(name, "cpuset.cpus", cpus);
        }
        node
    }

    fn write(&self, container: &str, file: &str, content: &str) {
        std::fs::write(self.root.path().join("pod").join(container).join(file), format!("{content}\n"))
            .unwrap();
    }

    fn cpus(&self, container: &str) -> String {
        let path = self.root.path().join("pod").join(container).join("cpuset.cpus");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    fn narrow(&self, container: &str, count: u32, given: Option<&str>, others: &[&str]) -> Result<Narrowing> {
        let path = |name: &str| CgroupPath::parse(&format!("/pod/{name}")).unwrap();
        let others: Vec<_> = others.iter().map(|name| path(name)).collect();
        let lock = LevelsLock::take(self.root.path()).unwrap();
        let given = given.map(parse);
        let cgroup = self.hierarchy.find(&path(container)).unwrap();
        cgroup.narrow(|all| count.min(all), given.as_ref(), &others, &CpuTopology::default(), &lock)
    }
}

fn to(cpus: &str) -> Narrowing {
    Narrowing::To(parse(cpus))
}

#[test]
fn it_gets_as_many_as_its_quota_is_worth_where_others_are_not() {
    let node = Node::new("0-3", &[("a", "0-1"), ("b", ""), ("gone", "")]);
    std::fs::remove_dir_all(node.root.path().join("pod/gone")).unwrap();
    assert_eq!(node.narrow("b", 2, None, &["a", "b", "gone"]).unwrap(), to("2-3"));
    assert_eq!((node.cpus("a"), node.cpus("b")), ("0-1".into(), "2-3".into()));
}

#[test]
fn an_update_grows_shrinks_and_ends_it() {
    let node = Node::new("0-3", &[("a", "0-1"), ("b", "2-3")]);
    assert_eq!(node.narrow("b", 1, None, &["a"]).unwrap(), to("2"));
    assert_eq!(node.narrow("b", 3, None, &["a"]).unwrap(), to("0,2-3"));
    assert_eq!(node.narrow("b", 4, None, &["a"]).unwrap(), Narrowing::None);
    assert_eq!(node.cpus("b"), "0-3", "an empty list is refused where there are processes");
    assert_eq!(node.narrow("b", 0, None, &["a"]).unwrap(), to("2"), "never none");
}

#[test]
fn a_list_of_its_own_is_what_is_chosen_from() {
    let node = Node::new("0-7", &[("a", "4"), ("b", "4-6")]);
    assert_eq!(node.narrow("b", 1, Some("4-6"), &["a"]).unwrap(), to("5"));
    assert_eq!(node.narrow("b", 8, Some("4-6"), &["a"]).unwrap(), to("4-6"), "all of it, and no more");
    assert_eq!(node.narrow("b", 1, Some("64-65"), &["a"]).unwrap(), to("5"), "none of that list is there");
}

#[test]
fn what_the_cgroups_above_may_not_use_is_not_chosen() {
    let node = Node::new("6-7", &[("a", "")]);
    assert_eq!(node.narrow("a", 1, None, &[]).unwrap(), to("6"));
}

#[test]
fn without_the_controller_it_is_refused_by_its_name() {
    let node = Node::new("0-3", &[("a", "")]);
    std::fs::remove_file(node.root.path().join("pod/a/cpuset.cpus")).unwrap();
    node.write("a", "cgroup.controllers", "cpu");
    let error = node.narrow("a", 1, None, &[]).unwrap_err();
    assert!(error.to_string().contains("controller cpuset is not enabled"), "{error}");
}
