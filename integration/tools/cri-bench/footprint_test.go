package main

import "testing"

func TestOnlyAShimThatNamesTheSandboxIsItsShim(t *testing.T) {
	shim := "/usr/bin/containerd-shim-ballast-v2\x00-namespace\x00k8s.io\x00-id\x00abc\x00"
	if !isShimOf([]byte(shim), "abc") {
		t.Error("the sandbox's own shim is not recognised")
	}
	for _, other := range []string{"", "crictl\x00inspectp\x00abc\x00", "containerd-shim-x\x00-id\x00abcd\x00"} {
		if isShimOf([]byte(other), "abc") {
			t.Errorf("%q is taken for the sandbox's shim", other)
		}
	}
}

func TestAFieldIsReadInBytesAndItsAbsenceIsAnError(t *testing.T) {
	content := []byte("Pss:                  12 kB\nPss_Dirty:             3 kB\nPrivate_Dirty:         5 kB\n")
	if bytes, err := field(content, "Private_Dirty:"); err != nil || bytes != 5*1024 {
		t.Errorf("got %d, %v", bytes, err)
	}
	if _, err := field(content, "Rss:"); err == nil {
		t.Error("a missing field is no error")
	}
}
