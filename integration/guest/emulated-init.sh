# PID 1 of an emulated machine: mounts what tests take for granted, runs them, says how they ended, and powers off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin RUST_BACKTRACE=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
# Not a tmpfs: before Linux 6.3 those cannot be id-mapped.
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for module in /suite/modules/*; do
	insmod "$module"
done
ip link set lo up
echo "Linux $(uname -r), $(nproc) CPUs, controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"
# Two at a time, so that none waits long for the others.
xargs -d '\n' -a /suite/arguments /suite/program --test-threads 2 2>&1
echo "the suite ended with status $?"
sync
echo o >/proc/sysrq-trigger
# PID 1 must not end before the machine does.
read -r forever </dev/zero
