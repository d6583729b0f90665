//! The Go programs of the test node, built from the pinned modules in `integration/tools/<module>/`: containerd in
//! both supported lines, runc as the yardstick, crictl and critest, CNI plugins, the image registry. Everything but
//! runc is linked without C, runc statically, because they run in the node's own root file system, whose libc may
//! differ from this machine's. Knows nothing about nodes and how the programs are configured.
//!
//! A module pins the programs as its tools, so in its directory `go get -tool PACKAGE@VERSION` moves a pin. Two
//! differ: critest is a test and needs `go get -t sigs.k8s.io/cri-tools/cmd/critest@VERSION` beside crictl's line, and
//! the registry is a `main.go` of its own, for `go get` and `go mod tidy`.

mod module;
mod recipe;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

use crate::progress::{Progress, StepLog};
use module::Module;
use recipe::Recipe;

pub use recipe::{REQUIRED_PACKAGES, Tool};

/// Where the built programs are. A path exists once the [`Tool`] that makes it was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolPaths {
    directory: PathBuf,
}

impl ToolPaths {
    /// The paths below the node's directory (`target/node`), whether built or not.
    #[must_use]
    pub fn below(node_directory: &Path) -> Self {
        Self { directory: node_directory.join("tools") }
    }

    /// The directory with `containerd`, `ctr` and `containerd-shim-runc-v2` of `line`, and nothing else.
    #[must_use]
    pub fn containerd_directory(&self, line: ContainerdLine) -> PathBuf {
        self.directory.join(line.name()).join("bin")
    }

    /// The directory with `runc`, `crictl`, `critest`, `ginkgo`, `registry` and `cri-bench`.
    #[must_use]
    pub fn bin_directory(&self) -> PathBuf {
        self.directory.join("bin")
    }

    /// The directory with the CNI plugins, as containerd's `bin_dir` wants it.
    #[must_use]
    pub fn cni_directory(&self) -> PathBuf {
        self.directory.join("cni")
    }

    fn output_directory(&self, tool: Tool) -> PathBuf {
        match tool {
            Tool::Containerd(line) => self.containerd_directory(line),
            Tool::Runc | Tool::Crictl | Tool::Critest | Tool::Ginkgo | Tool::Registry | Tool::CriBench => {
                self.bin_directory()
            }
            Tool::CniPlugins => self.cni_directory(),
        }
    }

    /// Holds the hash of what a tool was built from, so that an unchanged one is not built again.
    fn stamp(&self, recipe: &Recipe) -> PathBuf {
        self.directory.join("stamps").join(recipe.name)
    }
}

/// The containerd lines that Ballast supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerdLine {
    /// The current 2.x.
    V2,
    /// The long-term 1.7.
    V1_7,
}

impl ContainerdLine {
    /// The line as directories and reports call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V2 => "2",
            Self::V1_7 => "1.7",
        }
    }
}

/// Builds those of `wanted` whose modules or build flags changed since they were last built, in the given order, into
/// `<node_directory>/tools`. Two calls at once, in one process or several, wait for each other.
///
/// # Errors
/// When a program cannot be built; the error names the step and its log.
pub fn build(wanted: &[Tool], node_directory: &Path, progress: &Progress) -> Result<ToolPaths> {
    let paths = ToolPaths::below(node_directory);
    let _lock = lock(&paths.directory, "lock")?;
    for &tool in wanted {
        build_one(tool, &paths, progress)?;
    }
    Ok(paths)
}

/// Waits for the lock file `name` in `directory`; dropping the file unlocks it.
pub(crate) fn lock(directory: &Path, name: &str) -> Result<File> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    let path = directory.join(name);
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    flock(&file, FlockOperation::LockExclusive).with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

fn build_one(tool: Tool, paths: &ToolPaths, progress: &Progress) -> Result<()> {
    let recipe = tool.recipe();
    let module = Module::read(recipe.module)?;
    let inputs = module.hash(&recipe)?;
    let output = paths.output_directory(tool);
    let stamp = paths.stamp(&recipe);
    if fs::read_to_string(&stamp).is_ok_and(|built_from| built_from == inputs)
        && recipe.programs().all(|program| output.join(program).exists())
    {
        return Ok(());
    }
    let version = module.version_of(recipe.upstream)?;
    progress.step(&format!("build {} {version}", recipe.name), |log| {
        compile(&recipe, &module, version, &output, log)?;
        write_new(&stamp, &inputs)
    })
}

/// Compiles into a directory of its own, so that a program is replaced whole or not at all, also while it runs.
fn compile(recipe: &Recipe, module: &Module, version: &str, output: &Path, log: &mut StepLog) -> Result<()> {
    let fresh = output.join(format!(".{}-new", recipe.name));
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("remove {}", fresh.display()))?;
    }
    fs::create_dir_all(&fresh).with_context(|| format!("create {}", fresh.display()))?;
    log.run(&mut go_command(recipe, module, version, &fresh))?;
    for program in recipe.programs() {
        let built = fresh.join(program);
        if !built.metadata().is_ok_and(|found| found.permissions().mode() & 0o111 != 0) {
            bail!("the build made no program {}", built.display());
        }
        let target = output.join(program);
        fs::rename(&built, &target).with_context(|| format!("move {program} to {}", target.display()))?;
    }
    fs::remove_dir(&fresh).with_context(|| format!("remove {}, which should be empty now", fresh.display()))
}

fn go_command(recipe: &Recipe, module: &Module, version: &str, output: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(module.directory())
        // The module files decide what is built, exactly: nothing is resolved anew, no workspace, no flags of the user's.
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", if recipe.needs_c() { "1" } else { "0" });
    command.args(recipe.arguments(version)).arg("-o").arg(recipe.output(output)).args(recipe.packages);
    command
}

fn write_new(path: &Path, content: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}
