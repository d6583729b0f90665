package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestACgroupsUsageIsReadInMicrosecondsAndItsAbsenceIsAnError(t *testing.T) {
	directory := t.TempDir()
	stat := filepath.Join(directory, "cpu.stat")
	if err := os.WriteFile(stat, []byte("usage_usec 270001\nuser_usec 247500\nsystem_usec 22501\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if used, err := usage(directory); err != nil || used != 270001*time.Microsecond {
		t.Errorf("got %v, %v", used, err)
	}
	if err := os.WriteFile(stat, []byte("user_usec 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := usage(directory); err == nil {
		t.Error("a missing usage_usec is no error")
	}
	if _, err := usage(filepath.Join(directory, "missing")); !gone(err) {
		t.Errorf("a missing cgroup is %v", err)
	}
}

func TestAProcesssClockCountsWhatItUses(t *testing.T) {
	this := engine{pid: os.Getpid()}
	before, err := this.own()
	if err != nil {
		t.Fatal(err)
	}
	for {
		now, err := this.own()
		if err != nil {
			t.Fatal(err)
		}
		if now > before {
			break
		}
	}
	if _, err := (engine{pid: 1 << 22}).own(); err == nil {
		t.Error("a process that cannot exist has a clock")
	}
}
