# Starts a user-mode Linux kernel in mount and process namespaces of its own: it finds the C library that it was
# built for, all of the host under /host, and memory-backed scratch space that vanishes with it.
# Usage: sh -c <this> start-uml <kernel directory> <scratch bytes> <kernel argument>...
set -eu
kernel=$1
scratch_bytes=$2
shift 2
mkdir -p "$kernel/host" "$kernel/dev" "$kernel/proc" "$kernel/tmp"
mount --rbind / "$kernel/host"
mount --rbind /dev "$kernel/dev"
mount -t proc proc "$kernel/proc"
# The kernel maps its memory from a file here, executable.
mount -t tmpfs -o "size=$scratch_bytes,mode=700,exec" tmpfs "$kernel/tmp"
# Not exec: a shell as the namespace's first process takes the kernel's helper processes down with it.
TMPDIR=/tmp HOME=/tmp chroot "$kernel" /usr/bin/linux.uml "$@"
