//! How each Go program is built: module, packages, flags. Only data; runs nothing.

use std::path::{Path, PathBuf};

use super::ContainerdLine;

/// The Debian packages that building the tools needs, each with the reason. Go is not among them: the modules' `go`
/// lines ask for 1.26.8, and bookworm's is older.
pub const REQUIRED_PACKAGES: &[(&str, &str)] = &[
    ("gcc", "runc's namespace joining is C"),
    ("libc6-dev", "runc is linked statically with this libc"),
    ("libseccomp-dev", "runc compiles seccomp profiles with this library, linked statically"),
    ("pkg-config", "runc's build finds libseccomp with it"),
];

/// A program, or a set that is built together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `containerd`, `ctr` and `containerd-shim-runc-v2` of one line.
    Containerd(ContainerdLine),
    /// `runc`, the runtime that Ballast is compared with.
    Runc,
    /// `crictl`, the CRI command line.
    Crictl,
    /// `critest`, the CRI conformance suite.
    Critest,
    /// `ginkgo`, which runs critest in several processes at once.
    Ginkgo,
    /// `bridge`, `host-local`, `loopback`, `portmap`, `firewall`, and `hostport`, which needs no NAT.
    CniPlugins,
    /// `registry`, which serves the images of [`crate::images`].
    Registry,
    /// `cri-bench`, the load generator of [`crate::bench`].
    CriBench,
}

impl Tool {
    /// Everything, in the order in which a node needs it.
    pub const ALL: [Self; 9] = [
        Self::Containerd(ContainerdLine::V2),
        Self::Runc,
        Self::CniPlugins,
        Self::Registry,
        Self::Crictl,
        Self::Critest,
        Self::Ginkgo,
        Self::Containerd(ContainerdLine::V1_7),
        Self::CriBench,
    ];

    pub(super) fn recipe(self) -> Recipe {
        match self {
            Self::Containerd(ContainerdLine::V2) => CONTAINERD_2,
            Self::Containerd(ContainerdLine::V1_7) => CONTAINERD_1_7,
            Self::Runc => RUNC,
            Self::Crictl => CRICTL,
            Self::Critest => CRITEST,
            Self::Ginkgo => GINKGO,
            Self::CniPlugins => CNI_PLUGINS,
            Self::Registry => REGISTRY,
            Self::CriBench => CRI_BENCH,
        }
    }
}

/// What `go` is asked to do.
#[derive(Debug)]
pub(super) struct Recipe {
    /// The name of the step and of its stamp.
    pub(super) name: &'static str,
    /// The directory below `integration/tools`.
    pub(super) module: &'static str,
    /// The module whose version the programs report.
    pub(super) upstream: &'static str,
    /// The packages to build; each becomes a program with the name of its last path element.
    pub(super) packages: &'static [&'static str],
    /// The Go variable that holds the reported version, and how the version is spelled there.
    version: Option<(&'static str, VersionSpelling)>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum VersionSpelling {
    /// `v1.2.3`
    Tag,
    /// `1.2.3`
    Number,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A program without C.
    Program,
    /// A program with C parts, linked statically; the build tags.
    StaticWithC(&'static str),
    /// A test suite compiled to a program.
    TestSuite,
}

impl Recipe {
    /// The programs that the build makes.
    pub(super) fn programs(&self) -> impl Iterator<Item = &'static str> {
        self.packages.iter().map(|package| package.rsplit_once('/').map_or(*package, |(_, name)| name))
    }

    pub(super) fn needs_c(&self) -> bool {
        matches!(self.kind, Kind::StaticWithC(_))
    }

    /// What to give to `-o` so that the programs land in `directory` under their own names.
    pub(super) fn output(&self, directory: &Path) -> PathBuf {
        match self.kind {
            // A directory would get `<name>.test`.
            Kind::TestSuite => directory.join(self.name),
            Kind::Program | Kind::StaticWithC(_) => directory.join(""),
        }
    }

    /// The arguments of `go`, without the output and the packages.
    pub(super) fn arguments(&self, version: &str) -> Vec<String> {
        let mut linker = String::from("-s -w");
        if self.needs_c() {
            linker.push_str(" -linkmode external -extldflags -static");
        }
        if let Some((variable, spelling)) = self.version {
            let spelled = match spelling {
                VersionSpelling::Tag => version,
                VersionSpelling::Number => version.trim_start_matches('v'),
            };
            linker.push_str(&format!(" -X {variable}={spelled}"));
        }
        let mut arguments: Vec<String> = match self.kind {
            Kind::Program => vec!["build".into()],
            Kind::StaticWithC(tags) => vec!["build".into(), "-tags".into(), tags.into()],
            Kind::TestSuite => vec!["test".into(), "-c".into()],
        };
        arguments.extend(["-trimpath".into(), "-buildvcs=false".into(), "-ldflags".into(), linker]);
        arguments
    }
}

const CONTAINERD_2: Recipe = Recipe {
    name: "containerd-2",
    module: "containerd-2",
    upstream: "github.com/containerd/containerd/v2",
    packages: &[
        "github.com/containerd/containerd/v2/cmd/containerd",
        "github.com/containerd/containerd/v2/cmd/ctr",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    ],
    version: Some(("github.com/containerd/containerd/v2/version.Version", VersionSpelling::Tag)),
    kind: Kind::Program,
};

const CONTAINERD_1_7: Recipe = Recipe {
    name: "containerd-1.7",
    module: "containerd-1.7",
    upstream: "github.com/containerd/containerd",
    packages: &[
        "github.com/containerd/containerd/cmd/containerd",
        "github.com/containerd/containerd/cmd/ctr",
        "github.com/containerd/containerd/cmd/containerd-shim-runc-v2",
    ],
    version: Some(("github.com/containerd/containerd/version.Version", VersionSpelling::Tag)),
    kind: Kind::Program,
};

const RUNC: Recipe = Recipe {
    name: "runc",
    module: "runc",
    upstream: "github.com/opencontainers/runc",
    packages: &["github.com/opencontainers/runc"],
    version: None, // it embeds its own
    kind: Kind::StaticWithC("seccomp netgo osusergo"),
};

const CRICTL: Recipe = Recipe {
    name: "crictl",
    module: "cri-tools",
    upstream: "sigs.k8s.io/cri-tools",
    packages: &["sigs.k8s.io/cri-tools/cmd/crictl"],
    version: Some(("sigs.k8s.io/cri-tools/pkg/version.Version", VersionSpelling::Number)),
    kind: Kind::Program,
};

const CRITEST: Recipe = Recipe {
    name: "critest",
    module: "cri-tools",
    upstream: "sigs.k8s.io/cri-tools",
    packages: &["sigs.k8s.io/cri-tools/cmd/critest"],
    version: Some(("sigs.k8s.io/cri-tools/pkg/version.Version", VersionSpelling::Number)),
    kind: Kind::TestSuite,
};

// Of the version that critest is linked with: both are required by the same module.
const GINKGO: Recipe = Recipe {
    name: "ginkgo",
    module: "cri-tools",
    upstream: "github.com/onsi/ginkgo/v2",
    packages: &["github.com/onsi/ginkgo/v2/ginkgo"],
    version: None, // it embeds its own
    kind: Kind::Program,
};

const CNI_PLUGINS: Recipe = Recipe {
    name: "cni-plugins",
    module: "cni",
    upstream: "github.com/containernetworking/plugins",
    packages: &[
        "github.com/containernetworking/plugins/plugins/main/bridge",
        "github.com/containernetworking/plugins/plugins/main/loopback",
        "github.com/containernetworking/plugins/plugins/ipam/host-local",
        "github.com/containernetworking/plugins/plugins/meta/portmap",
        "github.com/containernetworking/plugins/plugins/meta/firewall",
        "ballast.dev/integration/tools/cni/hostport",
    ],
    version: Some((
        "github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion",
        VersionSpelling::Tag,
    )),
    kind: Kind::Program,
};

const REGISTRY: Recipe = Recipe {
    name: "registry",
    module: "registry",
    upstream: "github.com/distribution/distribution/v3",
    packages: &["ballast.dev/integration/tools/registry"],
    version: Some(("github.com/distribution/distribution/v3/version.version", VersionSpelling::Tag)),
    kind: Kind::Program,
};

const CRI_BENCH: Recipe = Recipe {
    name: "cri-bench",
    module: "cri-bench",
    upstream: "k8s.io/cri-api",
    packages: &["ballast.dev/integration/tools/cri-bench"],
    version: None,
    kind: Kind::Program,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_called_as_the_last_element_of_its_package() {
        let programs: Vec<_> = CONTAINERD_2.programs().collect();
        assert_eq!(programs, ["containerd", "ctr", "containerd-shim-runc-v2"]);
    }

    #[test]
    fn the_version_is_spelled_as_the_program_expects_it() {
        let linker_flags = |recipe: &Recipe| recipe.arguments("v1.36.0").pop().unwrap();
        assert!(linker_flags(&CRICTL).ends_with("version.Version=1.36.0"));
        assert!(linker_flags(&CONTAINERD_2).ends_with("version.Version=v1.36.0"));
    }

    #[test]
    fn only_runc_is_linked_with_c_and_then_statically() {
        for tool in Tool::ALL {
            let recipe = tool.recipe();
            let is_static =
                recipe.arguments("v1").iter().any(|argument| argument.contains("-extldflags -static"));
            assert_eq!(recipe.needs_c(), tool == Tool::Runc);
            assert_eq!(is_static, recipe.needs_c());
        }
    }
}
