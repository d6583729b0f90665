//! Programs and language runtimes that ask the kernel what machine they are on, each in the way that its users know.

use super::{Addition, Layer};
use Addition::{Program, Symlink};

#[cfg(target_arch = "x86_64")]
const JAVA: &str = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java";
#[cfg(target_arch = "aarch64")]
const JAVA: &str = "/usr/lib/jvm/java-17-openjdk-arm64/bin/java";

/// Needs Debian's programs and the libraries of these.
pub(super) static PYTHON: Layer = Layer {
    packages: &[
        "libexpat1",
        "libpython3.11-minimal",
        "libpython3.11-stdlib",
        "python3-psutil",
        "python3.11-minimal",
    ],
    additions: &[Symlink { path: "usr/bin/python3", target: "python3.11" }],
};

/// Needs Debian's programs and the libraries of these.
pub(super) static STRESS: Layer = Layer {
    packages: &[
        "libapparmor1",
        "libdrm2",
        "libegl1",
        "libexpat1",
        "libffi8",
        "libgbm1",
        "libgles2",
        "libglvnd0",
        "libipsec-mb1",
        "libjpeg62-turbo",
        "libjudydebian1",
        "libkmod2",
        "libsctp1",
        "libwayland-server0",
        "libxau6",
        "libxcb-randr0",
        "libxcb1",
        "libxdmcp6",
        "libxxhash0",
        "stress-ng",
    ],
    additions: &[],
};

/// Needs Debian's programs and the libraries of these.
pub(super) static NODE: Layer = Layer {
    packages: &[
        "libbrotli1",
        "libc-ares2",
        "libgcc-s1",
        "libicu72",
        "libnghttp2-14",
        "libnode108",
        "libstdc++6",
        "libuv1",
        "node-acorn",
        "node-cjs-module-lexer",
        "node-undici",
        "nodejs",
    ],
    additions: &[],
};

/// Needs Debian's programs and the libraries of these.
pub(super) static JVM: Layer = Layer {
    packages: &["libgcc-s1", "libstdc++6", "openjdk-17-jre-headless"],
    additions: &[Symlink { path: "usr/bin/java", target: JAVA }],
};

pub(super) static GNU_LIBC_SAYS: Layer = Layer {
    packages: &[],
    additions: &[Program {
        path: "usr/bin/libc-says",
        mode: 0o755,
        source: "libc-says.c",
        libc: super::Libc::Gnu,
    }],
};

pub(super) static MUSL_LIBC_SAYS: Layer = Layer {
    packages: &[],
    additions: &[Program {
        path: "usr/bin/libc-says",
        mode: 0o755,
        source: "libc-says.c",
        libc: super::Libc::Musl,
    }],
};

/// Readers of a view by the thousand.
pub(super) static READERS: Layer = Layer {
    packages: &[],
    additions: &[Program {
        path: "usr/bin/readers",
        mode: 0o755,
        source: "readers.c",
        libc: super::Libc::Gnu,
    }],
};
