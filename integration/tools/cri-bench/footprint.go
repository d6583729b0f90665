package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// footprint is the memory of one pod's shim processes, from smaps_rollup, in bytes.
type footprint struct {
	processes    int64
	dirty        int64 // Pss_Dirty: with its share of what it has in common with another, such as a fork
	proportional int64 // PSS
}

// shimFootprint sums over the processes that run a shim's program for the sandbox: a shim names the sandbox in its
// arguments, and what it forks without executing another program has the same ones.
func shimFootprint(sandbox string) (footprint, error) {
	var total footprint
	directories, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return total, err
	}
	for _, directory := range directories {
		arguments, err := os.ReadFile(filepath.Join(directory, "cmdline"))
		if gone(err) {
			continue
		}
		if err != nil {
			return total, err
		}
		if !isShimOf(arguments, sandbox) {
			continue
		}
		if err := total.add(filepath.Join(directory, "smaps_rollup")); err != nil {
			return total, err
		}
	}
	if total.processes == 0 {
		return total, fmt.Errorf("no shim of sandbox %s is running", sandbox)
	}
	return total, nil
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

func isShimOf(commandLine []byte, sandbox string) bool {
	arguments := bytes.Split(commandLine, []byte{0})
	if !strings.HasPrefix(filepath.Base(string(arguments[0])), "containerd-shim-") {
		return false
	}
	for _, argument := range arguments[1:] {
		if string(argument) == sandbox {
			return true
		}
	}
	return false
}

func (f *footprint) add(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	dirty, err := field(content, "Pss_Dirty:")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	proportional, err := field(content, "Pss:")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f.processes++
	f.dirty += dirty
	f.proportional += proportional
	return nil
}

// field reads a line such as "Pss:    1234 kB", in bytes.
func field(content []byte, name string) (int64, error) {
	for line := range strings.Lines(string(content)) {
		words := strings.Fields(line)
		if len(words) == 3 && words[0] == name && words[2] == "kB" {
			kibibytes, err := strconv.ParseInt(words[1], 10, 64)
			return kibibytes * 1024, err
		}
	}
	return 0, fmt.Errorf("has no %s in kB", name)
}
