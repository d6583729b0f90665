package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroups = "/sys/fs/cgroup"

// engine is containerd's process with its cgroup, in which its shims and their runtimes run, too.
type engine struct {
	pid    int
	cgroup string
}

// findEngine looks for containerd by its name.
func findEngine() (engine, error) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return engine{}, err
	}
	for _, path := range names {
		name, err := os.ReadFile(path)
		if gone(err) || strings.TrimSpace(string(name)) != "containerd" {
			continue
		}
		directory := filepath.Dir(path)
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err != nil {
			return engine{}, err
		}
		cgroup, err := os.ReadFile(filepath.Join(directory, "cgroup"))
		if err != nil {
			return engine{}, err
		}
		for line := range strings.Lines(string(cgroup)) {
			if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok && path != "/" {
				return engine{pid, filepath.Join(cgroups, path)}, nil
			}
		}
		return engine{}, fmt.Errorf("containerd (%d) is in no cgroup of its own: %q", pid, cgroup)
	}
	return engine{}, fmt.Errorf("no containerd runs here")
}

// runtimes is the CPU time so far of everything on the node that belongs to pods and is not containerd: shims, what they
// start, and the containers. The same whoever makes a container's process, and in which cgroup.
func (e engine) runtimes() (time.Duration, error) {
	all, err := usage(e.cgroup)
	if err != nil {
		return 0, err
	}
	pods, err := usage(filepath.Join(cgroups, podsCgroup))
	if gone(err) {
		pods, err = 0, nil
	}
	if err != nil {
		return 0, err
	}
	own, err := e.own()
	return all + pods - own, err
}

// shims is the same without the containers.
func (e engine) shims() (time.Duration, error) {
	all, err := usage(e.cgroup)
	if err != nil {
		return 0, err
	}
	own, err := e.own()
	return all - own, err
}

// own is containerd's, by the clock that the kernel has for each process (clock_getcpuclockid).
func (e engine) own() (time.Duration, error) {
	const scheduled = 2
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^e.pid<<3|scheduled), &now); err != nil {
		return 0, fmt.Errorf("CPU time of containerd (%d): %w", e.pid, err)
	}
	return time.Duration(now.Nano()), nil
}

// usage is what a cgroup has used, its ended processes and removed children included.
func usage(cgroup string) (time.Duration, error) {
	content, err := os.ReadFile(filepath.Join(cgroup, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if text, ok := strings.CutPrefix(line, "usage_usec "); ok {
			microseconds, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return time.Duration(microseconds) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("%s/cpu.stat has no usage_usec", cgroup)
}
