# Starts a command with the root of its cgroup namespace at <cgroup>/node, itself outside of it: a cgroup that hands down
# controllers may not hold processes. Descriptor 4 lets the command move its child to <cgroup>/node/init.
# Usage: sh -c <this> enter-cgroup <cgroup> <command>...
set -eu
cgroup=$1
shift
# Opened before the namespace is entered: what is opened inside may not move processes across its border.
exec 3>"$cgroup/supervisor/cgroup.procs" 4>"$cgroup/node/init/cgroup.procs"
echo 0 >"$cgroup/node/cgroup.procs"
exec unshare --cgroup sh -c 'echo 0 >&3; exec 3>&-; exec "$@"' enter-cgroup "$@"
