//! Makes the files of a layer: unpacks its packages, compiles its programs, links busybox's applets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::catalog::{Addition, Layer, Libc};
use super::packages::Packages;
use super::tree::{Content, Node, Tree};
use crate::progress::StepLog;

const BUSYBOX: &str = "bin/busybox";
const PAYLOADS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/images/payload");

/// What layers are made from and where.
#[derive(Debug)]
pub(super) struct Workshop<'a> {
    pub(super) packages: &'a Packages,
    /// A directory for files that are needed while a layer is made.
    pub(super) scratch: &'a Path,
}

impl Workshop<'_> {
    /// The layer as an uncompressed tar: a node pulls it from its own loopback, where unpacking costs more than the
    /// size.
    pub(super) fn make(&self, layer: &Layer, log: &mut StepLog) -> Result<Vec<u8>> {
        let mut tree = Tree::default();
        for package in layer.packages {
            self.packages.unpack(package, &mut tree)?;
        }
        for addition in layer.additions {
            self.add(addition, &mut tree, log)?;
        }
        let mut bytes = Vec::new();
        tree.write_tar(&mut bytes)?;
        Ok(bytes)
    }

    fn add(&self, addition: &Addition, tree: &mut Tree, log: &mut StepLog) -> Result<()> {
        let (path, node) = match *addition {
            Addition::Directory { path, mode } => (path, Node::of_root(mode, Content::Directory)),
            Addition::File { path, content } => (path, Node::of_root(0o644, Content::File(content.into()))),
            Addition::Symlink { path, target } => {
                (path, Node::of_root(0o777, Content::Symlink(target.into())))
            }
            Addition::Program { path, mode, source, libc } => {
                (path, Node::of_root(mode, Content::File(self.compile(source, libc, log)?)))
            }
            Addition::PackageFile { package, path } => (path, self.package_file(package, path)?),
            Addition::BusyboxApplets => return self.link_applets(tree, log),
        };
        tree.insert(path, node);
        Ok(())
    }

    fn package_file(&self, package: &str, path: &str) -> Result<Node> {
        let mut all = Tree::default();
        self.packages.unpack(package, &mut all)?;
        all.take(path).with_context(|| format!("take /{path} from the package {package}"))
    }

    fn compile(&self, source: &str, libc: Libc, log: &mut StepLog) -> Result<Vec<u8>> {
        let program = self.scratch.join("program");
        let compiler = match libc {
            Libc::Gnu => "gcc",
            Libc::Musl => "musl-gcc",
        };
        log.run(
            Command::new(compiler)
                .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Os", "-static", "-s", "-o"])
                .arg(&program)
                .arg(payload_path(source)),
        )?;
        fs::read(&program).with_context(|| format!("read {}", program.display()))
    }

    fn link_applets(&self, tree: &mut Tree, log: &mut StepLog) -> Result<()> {
        let busybox = self.scratch.join("busybox");
        fs::write(&busybox, tree.file(BUSYBOX)?).with_context(|| format!("write {}", busybox.display()))?;
        fs::set_permissions(&busybox, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("make {} executable", busybox.display()))?;
        let applets = log.capture(Command::new(&busybox).arg("--list"))?;
        for applet in applets.lines().filter(|applet| *applet != "busybox") {
            let node = Node::of_root(0o755, Content::HardLink(BUSYBOX.to_owned()));
            tree.insert(&format!("bin/{applet}"), node);
        }
        Ok(())
    }
}

/// Where the source of a [`Addition::Program`] is.
pub(super) fn payload_path(source: &str) -> PathBuf {
    Path::new(PAYLOADS).join(source)
}
