//! `crictl exec -i` as a pipe: data and directories in and out, without a byte changed.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use ballast_integration::testbed::command::{crictl_with_input, finish, run};
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::scratch::Scratch;
use serde_json::json;

use crate::is_runc;

/// Many times what pipes and streams hold on the way.
const BYTES: u64 = 100_000_000;

/// Runs a pipeline with the names `$C`, the container, and `$D`, the directory.
#[track_caller]
fn pipeline(container: &Container, directory: &Path, script: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .env("C", &container.id)
        .env("D", directory)
        .stdin(Stdio::null())
        .output();
    let outcome = ballast_integration::testbed::command::Outcome::from(output.unwrap());
    outcome.expect_success(script).trim_end().to_owned()
}

#[test]
fn a_hundred_megabytes_pass_both_ways_unchanged() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let scratch = Scratch::new("exec-data");
    let hash = |script: &str| {
        pipeline(&container, scratch.directory(), script).split(' ').next().unwrap().to_owned()
    };
    let expected = hash(&format!("head -c {BYTES} /dev/urandom > $D/data; sha256sum < $D/data"));
    assert_eq!(hash("crictl exec -i $C sh -c 'tee /tmp/data | sha256sum' < $D/data"), expected, "in");
    assert_eq!(hash("crictl exec $C cat /tmp/data | sha256sum"), expected, "out");
    assert_eq!(hash("crictl exec -i $C cat < $D/data | sha256sum"), expected, "both at once");
}

/// Every file's path, type and mode, target and size, then every regular file's hash.
#[track_caller]
fn description(container: &Container, tree: &Path) -> String {
    let script = "cd $D; find . -printf '%p %M %l %s\\n' | grep -v ^./.$ | sed 's/^\\(.* d[^ ]*\\) .*/\\1/' | sort; find . -type f -exec sha256sum {} + | sort";
    pipeline(container, tree, script)
}

#[test]
fn a_directory_tree_comes_back_as_it_went_in() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let scratch = Scratch::new("exec-tree");
    let (there, back) = (scratch.path("there"), scratch.path("back"));
    fs::create_dir_all(there.join("deep/er/directory")).unwrap();
    fs::create_dir(&back).unwrap();
    for (name, mode) in [("plain", 0o644), ("secret", 0o600), ("program", 0o755), ("set-user-id", 0o4755)] {
        fs::write(there.join(name), name).unwrap();
        fs::set_permissions(there.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(there.join("empty"), "").unwrap();
    fs::write(there.join("deep/er/zeros"), vec![0; 3 << 20]).unwrap();
    File::create(there.join("sparse")).unwrap().set_len(64 << 20).unwrap();
    fs::write(there.join("name with blanks\nand a line's end"), "x").unwrap();
    symlink("deep/er", there.join("link")).unwrap();
    symlink("/no/such/target", there.join("dangling")).unwrap();
    fs::set_permissions(there.join("deep/er/directory"), fs::Permissions::from_mode(0o1777)).unwrap();
    let expected = description(&container, &there);
    pipeline(
        &container,
        &there,
        "tar -C $D -cf - . | crictl exec -i $C sh -c 'mkdir /tmp/tree; tar -C /tmp/tree -xf -'",
    );
    assert_eq!(container.exec(&["readlink", "/tmp/tree/dangling"]), "/no/such/target");
    pipeline(&container, &back, "crictl exec $C tar -C /tmp/tree -cf - . | tar -C $D -xf -");
    assert_eq!(description(&container, &back), expected);
}

#[test]
fn the_end_of_input_reaches_the_command() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let outcome =
        crictl_with_input(&["exec", "-i", &container.id, "sh", "-c", "cat; echo and the end"], "input\n");
    assert_eq!(outcome.expect_success("exec -i"), "input\nand the end\n");
    let nothing = run("crictl", &["exec", "-i", &container.id, "sh", "-c", "cat; echo the end"]);
    assert_eq!(nothing.expect_success("exec -i without input"), "the end\n");
}

#[test]
fn a_command_that_does_not_want_its_input_does_not_hold_the_client() {
    let mut node = Node::take();
    // runc's shim goes on copying until the client gives up, ten seconds later. With Ballast the pipe is the command's own.
    let heads = if is_runc(&node) { 0 } else { 1 };
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let endless = |command: &[&str]| {
        let child = Command::new("crictl")
            .args(["exec", "-i", &container.id])
            .args(command)
            .stdin(File::open("/dev/zero").unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        finish(child)
    };
    assert_eq!(endless(&["true"]).code, Some(0));
    for _ in 0..heads {
        let outcome = endless(&["head", "-c", "1"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "\0"), "{}", outcome.stderr);
    }
    assert_eq!(container.exec(&["echo", "still here"]), "still here");
}
