# Starts the node's agent on this machine's kernel, as the first process of its own namespaces: it finds the node's Debian
# tree as /, writable in memory only, and the machine's root under /machine, which it detaches when it has its shares.
# Usage: sh -c <this> start-host <tree> <files> <empty directory> <scratch bytes>, descriptor 4 from enter-cgroup.sh
set -eu
tree=$1
files=$2
scratch=$3
scratch_bytes=$4
echo 0 >&4
exec 4>&-
mount -t tmpfs -o "size=$scratch_bytes,mode=755" tmpfs "$scratch"
cd "$scratch"
mkdir upper work root containerd temporary
chmod 1777 temporary
mount -t overlay -o "lowerdir=$files:$tree,upperdir=$scratch/upper,workdir=$scratch/work" overlay root
mkdir -p root/machine root/var/lib/containerd
# No overlay file system may write to another: snapshots and bundles need a place that is none.
mount --bind containerd root/var/lib/containerd
mount --bind temporary root/tmp
mount --rbind /dev root/dev
cd root
pivot_root . machine
exec chroot . /usr/sbin/node-agent contained -
