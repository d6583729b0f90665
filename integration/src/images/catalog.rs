//! What each image is made of. Only data; makes nothing.
//!
//! The names are those that critest 1.36 and the sandbox defaults of containerd ask for. critest's shell image is
//! busybox, because the suite compares busybox's very words (`touch: /tmp/test: Read-only file system`); under
//! hard-linked names, because unlike symbolic ones they can be masked singly; and Debian's dynamically linked one,
//! because the shell of the static one runs its own `ls` when `/bin/ls` is masked.

mod runtimes;

/// An image, under every name that it has.
#[derive(Debug)]
pub(super) struct Image {
    /// Full references, each with registry and tag.
    pub(super) references: &'static [&'static str],
    pub(super) layers: &'static [&'static Layer],
    pub(super) process: Process,
    /// Tells apart images that are otherwise equal: an image's identity is the hash of its configuration.
    pub(super) version: Option<&'static str>,
}

/// The process that an image describes.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) entrypoint: &'static [&'static str],
    pub(super) command: &'static [&'static str],
    pub(super) user: Option<&'static str>,
    pub(super) working_directory: Option<&'static str>,
    pub(super) volumes: &'static [&'static str],
    pub(super) stop_signal: Option<&'static str>,
}

/// Files that images share.
#[derive(Debug)]
pub(super) struct Layer {
    /// Debian packages, complete: dependencies are not resolved.
    pub(super) packages: &'static [&'static str],
    /// What is put on top, in this order. Paths are relative to the root.
    pub(super) additions: &'static [Addition],
}

/// One path that does not come from a package.
#[derive(Debug)]
pub(super) enum Addition {
    Directory {
        path: &'static str,
        mode: u32,
    },
    File {
        path: &'static str,
        content: &'static str,
    },
    Symlink {
        path: &'static str,
        target: &'static str,
    },
    /// A C program, linked statically, from `integration/images/payload/<source>`.
    Program {
        path: &'static str,
        mode: u32,
        source: &'static str,
        libc: Libc,
    },
    /// One file of a package whose other files are not wanted; the path is the same.
    PackageFile {
        package: &'static str,
        path: &'static str,
    },
    /// Hard links in `bin` to `bin/busybox`, one for each of its applets.
    BusyboxApplets,
}

/// A C library.
#[derive(Clone, Copy, Debug)]
pub(super) enum Libc {
    Gnu,
    Musl,
}

use Addition::{BusyboxApplets, Directory, File, PackageFile, Program, Symlink};

const NOTHING: Process = Process {
    entrypoint: &[],
    command: &[],
    user: None,
    working_directory: None,
    volumes: &[],
    stop_signal: None,
};
const SHELL: Process = Process { command: &["sh"], ..NOTHING };
const SANDBOX: Process = Process { entrypoint: &["/pause"], user: Some("65535:65535"), ..NOTHING };

static PAUSE: Layer = Layer {
    packages: &[],
    additions: &[Program { path: "pause", mode: 0o755, source: "pause.c", libc: Libc::Gnu }],
};

static PROBE: Layer = Layer {
    packages: &[],
    additions: &[Program { path: "probe", mode: 0o755, source: "probe.c", libc: Libc::Gnu }],
};

/// The process of the containers that the benchmarks measure.
static PARROT: Layer = Layer {
    packages: &[],
    additions: &[Program { path: "parrot", mode: 0o755, source: "parrot.c", libc: Libc::Musl }],
};

static SANDBOX_LAYERS: &[&Layer] = &[&PAUSE];
static SHELL_LAYERS: &[&Layer] = &[&BASE, &BUSYBOX];

static NO_NEW_PRIVS: Layer = Layer {
    packages: &[],
    additions: &[Program { path: "nnp", mode: 0o4755, source: "nonewprivs.c", libc: Libc::Gnu }],
};

/// What every image with a shell stands on.
static BASE: Layer = Layer {
    packages: &[],
    additions: &[
        Directory { path: "home", mode: 0o755 },
        Directory { path: "mnt", mode: 0o755 },
        Directory { path: "root", mode: 0o700 },
        Directory { path: "run", mode: 0o755 },
        Directory { path: "tmp", mode: 0o1777 },
        Directory { path: "var/tmp", mode: 0o1777 },
        Symlink { path: "var/run", target: "/run" },
        File {
            path: "etc/passwd",
            content: "root:x:0:0:root:/root:/bin/sh\n\
                      daemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
                      www-data:x:33:33:www-data:/var/www:/bin/false\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
        },
        File {
            path: "etc/group",
            content: "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nnogroup:x:65534:\n",
        },
        File { path: "etc/nsswitch.conf", content: "passwd: files\ngroup: files\nhosts: files dns\n" },
    ],
};

static BUSYBOX: Layer = Layer { packages: &["busybox-static"], additions: &[BusyboxApplets] };

/// Needs [`LIBC`].
static BUSYBOX_DYNAMIC: Layer = Layer { packages: &["busybox"], additions: &[BusyboxApplets] };

/// What dynamically linked programs need.
static LIBC: Layer = Layer { packages: &["libc6"], additions: &[] };

/// Programs that critest calls and Debian's busybox has not, with their libraries.
static NOT_IN_BUSYBOX: Layer = Layer {
    packages: &[
        "libcap2",
        "libgcrypt20",
        "libgpg-error0",
        "liblz4-1",
        "liblzma5",
        "libproc2-0",
        "libsystemd0",
        "libzstd1",
    ],
    additions: &[
        PackageFile { package: "procps", path: "usr/bin/pgrep" },
        PackageFile { package: "util-linux", path: "usr/bin/ipcs" },
    ],
};

/// Separate programs, each with the semantics that people's workloads see.
static DEBIAN: Layer = Layer {
    packages: &[
        "coreutils",
        "dash",
        "debianutils",
        "findutils",
        "grep",
        "hostname",
        "iputils-ping",
        "libcap2-bin",
        "mawk",
        "mount",
        "net-tools",
        "netcat-openbsd",
        "procps",
        "sed",
        "sysvinit-utils",
        "util-linux",
        "util-linux-extra",
        // the libraries of these
        "libacl1",
        "libattr1",
        "libaudit1",
        "libblkid1",
        "libbsd0",
        "libc6",
        "libcap-ng0",
        "libcap2",
        "libcrypt1",
        "libgcrypt20",
        "libgmp10",
        "libgpg-error0",
        "libidn2-0",
        "liblz4-1",
        "liblzma5",
        "libmd0",
        "libmount1",
        "libncursesw6",
        "libpam0g",
        "libpcre2-8-0",
        "libproc2-0",
        "libselinux1",
        "libsmartcols1",
        "libssl3",
        "libsystemd0",
        "libtinfo6",
        "libudev1",
        "libunistring2",
        "libuuid1",
        "libzstd1",
        "ncurses-base",
        "zlib1g",
    ],
    // Configuring the packages would make these.
    additions: &[
        Symlink { path: "bin/sh", target: "dash" },
        Symlink { path: "bin/nc", target: "nc.openbsd" },
        Symlink { path: "usr/bin/awk", target: "mawk" },
    ],
};

static NGINX: Layer = Layer {
    packages: &["libcrypt1", "libpcre2-8-0", "libssl3", "nginx", "zlib1g"],
    additions: &[
        Directory { path: "var/lib/nginx", mode: 0o755 },
        Symlink { path: "var/log/nginx/access.log", target: "/dev/stdout" },
        Symlink { path: "var/log/nginx/error.log", target: "/dev/stderr" },
        File { path: "usr/share/nginx/html/index.html", content: "nginx\n" },
        File { path: "etc/nginx/nginx.conf", content: include_str!("../../images/nginx/nginx.conf") },
        File { path: "etc/nginx/listen.conf", content: "listen 80;\n" },
    ],
};

static NGINX_ON_HOST_PORT: Layer =
    Layer { packages: &[], additions: &[File { path: "etc/nginx/listen.conf", content: "listen 12003;\n" }] };

const NGINX_PROCESS: Process =
    Process { command: &["/usr/sbin/nginx", "-g", "daemon off;"], stop_signal: Some("SIGTERM"), ..NOTHING };

static APACHE: Layer = Layer {
    packages: &[
        "apache2-bin",
        "libapr1",
        "libaprutil1",
        "libcrypt1",
        "libexpat1",
        "libgcc-s1",
        "libpcre2-8-0",
        "libuuid1",
    ],
    additions: &[
        File { path: "srv/www/index.html", content: "httpd\n" },
        File { path: "etc/httpd.conf", content: include_str!("../../images/httpd/httpd.conf") },
        // critest looks for the program's upstream name in its log, and the program logs how it was called.
        Symlink { path: "usr/local/bin/httpd", target: "/usr/sbin/apache2" },
    ],
};

static PREDEFINED_GROUP: Layer = Layer {
    packages: &[],
    additions: &[
        File {
            path: "etc/passwd",
            content: "root:x:0:0:root:/root:/bin/sh\ndefault-user:x:1000:1000:default-user:/home/default-user:/bin/sh\n",
        },
        File {
            path: "etc/group",
            content: "root:x:0:\ndefault-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n",
        },
    ],
};

static VOLUME: Layer = Layer {
    packages: &[],
    additions: &[
        Directory { path: "data", mode: 0o755 },
        File { path: "data/from-image", content: "from the image\n" },
    ],
};

/// critest puts Go's name of the architecture into this one.
#[cfg(target_arch = "x86_64")]
const HOST_NETWORK_NGINX: &str = "gcr.io/k8s-staging-cri-tools/hostnet-nginx-amd64:latest";
#[cfg(target_arch = "aarch64")]
const HOST_NETWORK_NGINX: &str = "gcr.io/k8s-staging-cri-tools/hostnet-nginx-arm64:latest";

/// A layer with nothing but a file of this name.
macro_rules! marker {
    ($path:literal) => {
        &Layer { packages: &[], additions: &[File { path: $path, content: "" }] }
    };
}

/// Every image. A name without a tag in critest means `latest`.
pub(super) static IMAGES: &[Image] = &[
    // The sandbox images of containerd 1.7, 2.0 to 2.3, and of kubelet. critest removes 3.9 with all its names while
    // others may be in use, so that no version may equal another.
    sandbox(&["registry.k8s.io/pause:3.8"], "3.8"),
    sandbox(&["registry.k8s.io/pause:3.9", "k8s.gcr.io/pause:3.9"], "3.9"),
    sandbox(&["registry.k8s.io/pause:3.10"], "3.10"),
    sandbox(&["registry.k8s.io/pause:3.10.1"], "3.10.1"),
    sandbox(&["registry.k8s.io/pause:3.10.2"], "3.10.2"),
    image(
        &["registry.k8s.io/e2e-test-images/busybox:1.29-2", "registry.k8s.io/e2e-test-images/busybox:latest"],
        &[&BASE, &LIBC, &BUSYBOX_DYNAMIC, &NOT_IN_BUSYBOX],
        SHELL,
    ),
    image(
        &["registry.k8s.io/e2e-test-images/nginx:1.14-2"],
        &[&BASE, &BUSYBOX, &LIBC, &NGINX],
        NGINX_PROCESS,
    ),
    image(&[HOST_NETWORK_NGINX], &[&BASE, &BUSYBOX, &LIBC, &NGINX, &NGINX_ON_HOST_PORT], NGINX_PROCESS),
    image(
        &["registry.k8s.io/e2e-test-images/httpd:2.4.39-4"],
        &[&BASE, &BUSYBOX, &LIBC, &APACHE],
        Process {
            command: &["/usr/local/bin/httpd", "-D", "FOREGROUND", "-f", "/etc/httpd.conf"],
            ..NOTHING
        },
    ),
    image(
        &["registry.k8s.io/e2e-test-images/nonewprivs:1.3"],
        &[&BASE, &BUSYBOX, &NO_NEW_PRIVS],
        Process { entrypoint: &["/nnp"], ..NOTHING },
    ),
    image(
        &["gcr.io/k8s-staging-cri-tools/test-image-1:latest"],
        &[&BASE, &BUSYBOX, marker!("test-image-1")],
        SHELL,
    ),
    image(
        &["gcr.io/k8s-staging-cri-tools/test-image-2:latest"],
        &[&BASE, &BUSYBOX, marker!("test-image-2")],
        SHELL,
    ),
    image(
        &["gcr.io/k8s-staging-cri-tools/test-image-3:latest"],
        &[&BASE, &BUSYBOX, marker!("test-image-3")],
        SHELL,
    ),
    image(
        &["gcr.io/k8s-staging-cri-tools/test-image-latest:latest"],
        &[&BASE, &BUSYBOX, marker!("test-image-latest")],
        SHELL,
    ),
    image(
        &["gcr.io/k8s-staging-cri-tools/test-image-digest:latest"],
        &[&BASE, &BUSYBOX, marker!("test-image-digest")],
        SHELL,
    ),
    image(&["gcr.io/k8s-staging-cri-tools/test-image-tag:test"], &[&BASE, &BUSYBOX, marker!("test")], SHELL),
    image(&["gcr.io/k8s-staging-cri-tools/test-image-tag:all"], &[&BASE, &BUSYBOX, marker!("all")], SHELL),
    image(
        &[
            "gcr.io/k8s-staging-cri-tools/test-image-tags:1",
            "gcr.io/k8s-staging-cri-tools/test-image-tags:2",
            "gcr.io/k8s-staging-cri-tools/test-image-tags:3",
        ],
        &[&BASE, &BUSYBOX, marker!("same-image")],
        SHELL,
    ),
    user_image(&["gcr.io/k8s-staging-cri-tools/test-image-user-uid:latest"], "1002"),
    user_image(&["gcr.io/k8s-staging-cri-tools/test-image-user-username:latest"], "www-data"),
    user_image(&["gcr.io/k8s-staging-cri-tools/test-image-user-uid-group:latest"], "1003:1004"),
    user_image(&["gcr.io/k8s-staging-cri-tools/test-image-user-username-group:latest"], "www-data:1004"),
    image(
        &["gcr.io/k8s-staging-cri-tools/test-image-predefined-group:latest"],
        &[&BASE, &BUSYBOX, &PREDEFINED_GROUP],
        Process { user: Some("1000"), ..SHELL },
    ),
    image(&["ballast.dev/test/busybox:latest"], &[&BASE, &BUSYBOX, marker!("ballast")], SHELL),
    image(&["ballast.dev/test/debian:latest"], &[&BASE, &DEBIAN], SHELL),
    image(&["ballast.dev/test/measured:latest"], &[&BASE, &DEBIAN, &PARROT], SHELL),
    image(
        &["ballast.dev/test/programs:latest"],
        &[
            &BASE,
            &DEBIAN,
            &runtimes::GNU_LIBC_SAYS,
            &runtimes::READERS,
            &runtimes::PYTHON,
            &runtimes::STRESS,
            &runtimes::NODE,
            &runtimes::JVM,
        ],
        SHELL,
    ),
    image(&["ballast.dev/test/musl:latest"], &[&BASE, &BUSYBOX, &runtimes::MUSL_LIBC_SAYS], SHELL),
    image(&["ballast.dev/test/scratch:latest"], &[&PROBE], Process { entrypoint: &["/probe"], ..NOTHING }),
    image(
        &["ballast.dev/test/described:latest"],
        &[&BASE, &BUSYBOX, &VOLUME],
        Process {
            volumes: &["/data"],
            working_directory: Some("/var/tmp"),
            user: Some("nobody"),
            stop_signal: Some("SIGUSR1"),
            ..SHELL
        },
    ),
];

const fn image(
    references: &'static [&'static str],
    layers: &'static [&'static Layer],
    process: Process,
) -> Image {
    Image { references, layers, process, version: None }
}

const fn sandbox(references: &'static [&'static str], version: &'static str) -> Image {
    Image { references, layers: SANDBOX_LAYERS, process: SANDBOX, version: Some(version) }
}

const fn user_image(references: &'static [&'static str], user: &'static str) -> Image {
    image(references, SHELL_LAYERS, Process { user: Some(user), ..SHELL })
}
