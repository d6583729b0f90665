package main

import (
	"context"
	"testing"
	"time"
)

func TestACounterHoldsTheWriterUpUntilItBeginsAndKnowsWhenAllHasCome(t *testing.T) {
	counter := newCounter(10)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range 3 {
			if count, err := counter.Write(make([]byte, 4)); count != 4 || err != nil {
				t.Errorf("wrote %d, %v", count, err)
			}
		}
	}()
	select {
	case <-written:
		t.Error("takes output before it begins")
	case <-time.After(10 * time.Millisecond):
	}
	counter.begin()
	if err := counter.wait(context.Background()); err != nil {
		t.Error(err)
	}
	<-written
	if counter.taken != 12 {
		t.Errorf("counted %d", counter.taken)
	}
}

func TestOutputThatDoesNotComeEndsTheWaitWithTheContext(t *testing.T) {
	counter := newCounter(10)
	counter.begin()
	counter.Write(make([]byte, 9))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if counter.wait(ctx) == nil {
		t.Error("nine bytes of ten are taken for all")
	}
}

func TestAHandlersRuntimeAndProgramAreContainerdsOwn(t *testing.T) {
	runtimes, err := parseRuntimes(`{"containerd":{"runtimes":{
		"crun":{"runtimeType":"io.containerd.runc.v2","options":{"BinaryName":"/usr/bin/crun"}},
		"ballast":{"runtimeType":"io.containerd.ballast.v2","options":null}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	if crun := runtimes["crun"]; crun.Type != "io.containerd.runc.v2" || crun.Options.BinaryName != "/usr/bin/crun" {
		t.Errorf("got %+v", crun)
	}
	if ballast := runtimes["ballast"]; ballast.Type != "io.containerd.ballast.v2" || ballast.Options.BinaryName != "" {
		t.Errorf("got %+v", ballast)
	}
	if _, err := parseRuntimes(""); err == nil {
		t.Error("no configuration is no error")
	}
}
