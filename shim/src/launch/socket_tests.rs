use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn the_path_is_the_one_that_containerds_helper_computes() {
    // From containerd's CreateSocketAddress("/run/containerd/s", "/run/containerd/containerd.sock", "pod1"), k8s.io.
    let path =
        SocketPath::new(Path::new(DEFAULT_DIRECTORY), "/run/containerd/containerd.sock", "k8s.io", "pod1");
    assert_eq!(
        path.address(),
        "unix:///run/containerd/s/8e264b1ad347c80aee5f3dea6e4bb53d72026989222058782273d5db043c7723"
    );
}

#[test]
fn parts_are_joined_as_go_does() {
    assert_eq!(joined(&["/run/c.sock", "k8s.io", "id"]), "/run/c.sock/k8s.io/id");
    assert_eq!(joined(&["", "k8s.io", "id"]), "k8s.io/id");
    assert_eq!(joined(&["/run//c/../d/./", "n", "id"]), "/run/d/n/id");
    assert_eq!(joined(&["/../a", "..", ".."]), "/");
    assert_eq!(joined(&["a", "..", ".."]), "..");
    assert_eq!(joined(&["a", ".."]), ".");
}

fn socket(directory: &tempfile::TempDir) -> SocketPath {
    SocketPath::new(&directory.path().join("s"), "/run/c.sock", "n", "id")
}

#[test]
fn the_first_binds_with_the_directory_and_file_closed_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let socket = socket(&directory);
    let Claim::Bound(bound) = socket.claim().unwrap() else { panic!("nobody to join") };
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&socket.path), 0o600);
    assert_eq!(mode(&directory.path().join("s")), 0o700);
    drop(bound);
    assert!(!socket.path.exists(), "a socket that was not handed over is removed");
}

#[test]
fn the_second_joins_a_socket_that_answers() {
    let directory = tempfile::tempdir().unwrap();
    let socket = socket(&directory);
    let Claim::Bound(_bound) = socket.claim().unwrap() else { panic!("nobody to join") };
    assert!(matches!(socket.claim().unwrap(), Claim::Joined));
    socket.remove_stale(|| panic!("somebody serves there")).unwrap();
    assert!(socket.path.exists(), "a live socket stays");
}

#[test]
fn a_dead_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let socket = socket(&directory);
    let Claim::Bound(bound) = socket.claim().unwrap() else { panic!("nobody to join") };
    bound.hand_over();
    assert!(socket.path.exists(), "the file of a dead shim");
    let Claim::Bound(again) = socket.claim().unwrap() else { panic!("joined a dead socket") };
    again.hand_over();
    let mut forgotten = false;
    socket.remove_stale(|| forgotten = true).unwrap();
    assert!(forgotten && !socket.path.exists());
}

#[test]
fn of_many_that_start_at_once_one_binds_and_all_others_join() {
    let directory = tempfile::tempdir().unwrap();
    let socket = socket(&directory);
    let Claim::Bound(dead) = socket.claim().unwrap() else { panic!("nobody to join") };
    dead.hand_over();
    let start_together = std::sync::Arc::new(std::sync::Barrier::new(16));
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let (socket, start_together) = (socket.clone(), std::sync::Arc::clone(&start_together));
            std::thread::spawn(move || {
                start_together.wait();
                socket.claim().unwrap()
            })
        })
        .collect();
    let claims: Vec<Claim> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Bound(_))).count(), 1);
}

#[test]
fn removing_a_stale_socket_succeeds_when_it_is_gone_already() {
    let directory = tempfile::tempdir().unwrap();
    socket(&directory).remove_stale(|| ()).unwrap();
}

#[test]
fn a_shim_that_accepts_nothing_for_a_while_is_joined_without_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let socket = socket(&directory);
    let Claim::Bound(_bound) = socket.claim().unwrap() else { panic!("nobody to join") };
    let mut waiting = Vec::new();
    while waiting.len() <= usize::try_from(BACKLOG).unwrap() {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let client = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        rustix::net::connect(&client, &SocketAddrUnix::new(&socket.path).unwrap()).unwrap();
        waiting.push(client);
    }
    assert!(matches!(socket.claim().unwrap(), Claim::Joined));
}
