//! A layer's file tree in memory, and the tar that is made of it. The same tree always makes the same bytes: paths
//! are sorted, times are 0. Knows nothing about where the files come from.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use tar::{Archive, Builder, EntryType, Header};

/// What a path in a layer is, with its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// The permission bits, with set-uid, set-gid and sticky.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) content: Content,
}

/// A node's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Directory,
    File(Vec<u8>),
    /// What the link says; not resolved.
    Symlink(String),
    /// Another path of the same tree, which is a file.
    HardLink(String),
}

impl Node {
    /// Root's node.
    pub(super) fn of_root(mode: u32, content: Content) -> Self {
        Self { mode, uid: 0, gid: 0, content }
    }
}

/// Paths are relative, without a leading or trailing slash.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Puts `node` at `path`, in place of what is there, and the directories above it where they are missing.
    pub(super) fn insert(&mut self, path: &str, node: Node) {
        for (end, _) in path.match_indices('/') {
            self.nodes
                .entry(path[..end].to_owned())
                .or_insert_with(|| Node::of_root(0o755, Content::Directory));
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// The content of the file at `path`.
    pub(super) fn file(&self, path: &str) -> Result<&[u8]> {
        match self.nodes.get(path).map(|node| &node.content) {
            Some(Content::File(content)) => Ok(content),
            Some(_) => bail!("/{path} is no file"),
            None => bail!("there is no /{path}"),
        }
    }

    /// Takes out what is at `path`.
    pub(super) fn take(&mut self, path: &str) -> Result<Node> {
        self.nodes.remove(path).with_context(|| format!("there is no /{path}"))
    }

    /// Adds the entries of the tar `stream` whose paths `wanted` accepts.
    pub(super) fn extend_from_tar(&mut self, stream: impl Read, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let mut archive = Archive::new(stream);
        for entry in archive.entries().context("read the archive")? {
            let mut entry = entry.context("read the archive's next entry")?;
            let path = relative(&entry.path()?.to_string_lossy());
            if path.is_empty() || !wanted(&path) {
                continue;
            }
            let content = match entry.header().entry_type() {
                EntryType::Directory => Content::Directory,
                EntryType::Regular => {
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content).with_context(|| format!("read /{path}"))?;
                    Content::File(content)
                }
                EntryType::Symlink => Content::Symlink(link_target(&entry, &path)?),
                EntryType::Link => Content::HardLink(relative(&link_target(&entry, &path)?)),
                other => bail!("/{path} is of the type {other:?}, which a layer here cannot hold"),
            };
            let header = entry.header();
            let node =
                Node { mode: header.mode()? & 0o7777, uid: header.uid()?, gid: header.gid()?, content };
            self.insert(&path, node);
        }
        Ok(())
    }

    /// Writes the tar. Hard links come last, because their targets must come first.
    pub(super) fn write_tar(&self, output: impl Write) -> Result<()> {
        let mut builder = Builder::new(output);
        let is_hard_link = |node: &Node| matches!(node.content, Content::HardLink(_));
        let others = self.nodes.iter().filter(|(_, node)| !is_hard_link(node));
        let hard_links = self.nodes.iter().filter(|(_, node)| is_hard_link(node));
        for (path, node) in others.chain(hard_links) {
            append(&mut builder, path, node).with_context(|| format!("write /{path} to the layer"))?;
        }
        builder.into_inner().context("finish the layer")?.flush().context("write the layer")
    }
}

fn append(builder: &mut Builder<impl Write>, path: &str, node: &Node) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(node.mode);
    header.set_uid(node.uid);
    header.set_gid(node.gid);
    header.set_mtime(0);
    header.set_size(0);
    match &node.content {
        Content::Directory => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, format!("{path}/"), std::io::empty())?;
        }
        Content::File(content) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(u64::try_from(content.len())?);
            builder.append_data(&mut header, path, content.as_slice())?;
        }
        Content::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target)?;
        }
        Content::HardLink(target) => {
            header.set_entry_type(EntryType::Link);
            builder.append_link(&mut header, path, target)?;
        }
    }
    Ok(())
}

fn relative(path: &str) -> String {
    path.trim_start_matches("./").trim_matches('/').trim_matches('.').to_owned()
}

fn link_target(entry: &tar::Entry<'_, impl Read>, path: &str) -> Result<String> {
    let target = entry.link_name()?.with_context(|| format!("/{path} is a link without a target"))?;
    Ok(target.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(tree: &Tree) -> Vec<u8> {
        let mut bytes = Vec::new();
        tree.write_tar(&mut bytes).unwrap();
        bytes
    }

    fn example(paths: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for path in paths {
            tree.insert(path, Node::of_root(0o644, Content::File(path.as_bytes().to_vec())));
        }
        tree
    }

    #[test]
    fn the_order_of_insertion_does_not_change_the_tar() {
        assert_eq!(tar_of(&example(&["a/b", "c", "a/a"])), tar_of(&example(&["c", "a/a", "a/b"])));
    }

    #[test]
    fn a_hard_link_follows_its_target_and_survives_a_round_trip() {
        let mut tree = example(&["bin/busybox"]);
        tree.insert("bin/[", Node::of_root(0o755, Content::HardLink("bin/busybox".into())));
        tree.insert("sh", Node::of_root(0o777, Content::Symlink("bin/busybox".into())));
        let bytes = tar_of(&tree);
        let mut archive = Archive::new(bytes.as_slice());
        let last = archive.entries().unwrap().last().unwrap().unwrap();
        assert_eq!(last.path().unwrap().to_string_lossy(), "bin/[");
        let mut again = Tree::default();
        again.extend_from_tar(bytes.as_slice(), |_| true).unwrap();
        assert_eq!(again.nodes, tree.nodes);
    }

    #[test]
    fn directories_above_a_path_are_made_but_not_replaced() {
        let mut tree = Tree::default();
        tree.insert("tmp", Node::of_root(0o1777, Content::Directory));
        tree.insert("tmp/x/y", Node::of_root(0o644, Content::File(Vec::new())));
        assert_eq!(tree.nodes["tmp"].mode, 0o1777);
        assert_eq!(tree.nodes["tmp/x"].content, Content::Directory);
    }

    #[test]
    fn what_is_not_wanted_is_left_out() {
        let bytes = tar_of(&example(&["usr/share/doc/x", "usr/bin/x"]));
        let mut tree = Tree::default();
        tree.extend_from_tar(bytes.as_slice(), |path| !path.starts_with("usr/share/doc")).unwrap();
        assert!(tree.file("usr/bin/x").is_ok());
        assert!(tree.file("usr/share/doc/x").is_err());
    }
}
