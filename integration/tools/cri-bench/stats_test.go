package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAShimIsFoundByWhatEitherContainerdNotesOfIt(t *testing.T) {
	bundle := t.TempDir()
	if _, err := findShim(bundle); !gone(err) {
		t.Errorf("a bundle without a shim is %v", err)
	}
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(bundle, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("address", "unix:///run/old")
	if found, err := findShim(bundle); err != nil || found != (bootstrap{2, "unix:///run/old"}) {
		t.Errorf("got %+v, %v", found, err)
	}
	write("bootstrap.json", `{"version":3,"address":"unix:///run/new","protocol":"ttrpc"}`)
	if found, err := findShim(bundle); err != nil || found != (bootstrap{3, "unix:///run/new"}) {
		t.Errorf("got %+v, %v", found, err)
	}
	write("bootstrap.json", "{")
	if _, err := findShim(bundle); err == nil {
		t.Error("half a file is no error")
	}
}
