//! A set of controller names, as `cgroup.controllers` and `cgroup.subtree_control` list them.

/// The controllers of a cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controllers {
    names: Vec<String>,
}

impl Controllers {
    pub(crate) fn parse(content: &str) -> Self {
        Self { names: content.split_ascii_whitespace().map(str::to_owned).collect() }
    }

    /// Whether the controller is among them.
    #[must_use]
    pub fn contains(&self, controller: &str) -> bool {
        self.names.iter().any(|name| name == controller)
    }

    /// The names, in the kernel's order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Those that `other` lacks.
    pub(crate) fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        self.iter().filter(|name| !other.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_keeps_the_kernels_order() {
        let all = Controllers::parse("cpuset cpu io memory pids\n");
        let enabled = Controllers::parse("cpu memory\n");
        assert_eq!(all.without(&enabled).collect::<Vec<_>>(), ["cpuset", "io", "pids"]);
        assert!(all.contains("io") && !enabled.contains("io"));
        assert_eq!(Controllers::parse("\n").iter().count(), 0);
    }
}
