package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	runc "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What a container writes at once.
const writeBytes = 64 << 10

// A terminal is so much slower than a pipe that a share of the bytes takes as long.
const terminalShare = 4

// outputs measures what gets out of a container when the reader does nothing but count: the shim's part of a log. The containers
// are containerd's own, without CRI and its logger.
func (b *bench) outputs(ctx context.Context, options options) error {
	runtimes, err := b.runtimes(ctx)
	if err != nil {
		return err
	}
	containerd, err := client.New(options.socket)
	if err != nil {
		return err
	}
	defer containerd.Close()
	// Where CRI has pulled the image to.
	ctx = namespaces.WithNamespace(ctx, "k8s.io")
	image, err := containerd.GetImage(ctx, options.image)
	if err != nil {
		return err
	}
	writer := &writer{bench: b, client: containerd, image: image, bytes: int64(options.mebibytes) << 20}
	for range options.rounds {
		for _, handler := range options.handlers {
			runtime, ok := runtimes[handler]
			if !ok {
				return fmt.Errorf("containerd's configuration has no runtime %s", handler)
			}
			for _, terminal := range []bool{false, true} {
				if err := writer.measure(ctx, handler, runtime, terminal); err != nil {
					return fmt.Errorf("%s, output %s: %w", handler, through(terminal), err)
				}
			}
		}
	}
	return nil
}

// runtime is what containerd's configuration says of a handler.
type runtime struct {
	Type    string `json:"runtimeType"`
	Options struct {
		BinaryName string
	} `json:"options"`
}

// runtimes asks CRI for the handlers' runtimes.
func (b *bench) runtimes(ctx context.Context) (map[string]runtime, error) {
	response, err := b.runtime.Status(ctx, &cri.StatusRequest{Verbose: true})
	if err != nil {
		return nil, err
	}
	return parseRuntimes(response.Info["config"])
}

func parseRuntimes(configuration string) (map[string]runtime, error) {
	var parsed struct {
		Containerd struct {
			Runtimes map[string]runtime `json:"runtimes"`
		} `json:"containerd"`
	}
	if err := json.Unmarshal([]byte(configuration), &parsed); err != nil {
		return nil, fmt.Errorf("containerd's configuration: %w", err)
	}
	return parsed.Containerd.Runtimes, nil
}

// writer makes containers that write.
type writer struct {
	bench  *bench
	client *client.Client
	image  client.Image
	bytes  int64
}

func (w *writer) measure(ctx context.Context, handler string, runtime runtime, terminal bool) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	writes := w.bytes / writeBytes
	if terminal {
		writes /= terminalShare
	}
	bytes := writes * writeBytes
	reader := newCounter(bytes)
	var took, used time.Duration
	err := w.run(ctx, w.bench.name(handler), runtime, writes, terminal, reader, func() error {
		before, err := w.bench.engine.shims()
		if err != nil {
			return err
		}
		begin := time.Now()
		reader.begin()
		if err := reader.wait(ctx); err != nil {
			return err
		}
		took = time.Since(begin)
		after, err := w.bench.engine.shims()
		used = after - before
		return err
	})
	if err != nil {
		return err
	}
	if err := w.bench.report(handler, "output "+through(terminal), "B/s", perSecond(bytes, took)); err != nil {
		return err
	}
	perGigabyte := float64(used.Nanoseconds()) * 1e9 / float64(bytes)
	return w.bench.report(handler, "CPU of a shim per GB of output "+through(terminal), "ns", int64(perGigabyte))
}

// run has `while` called while a container writes to `output`, checks its end, and removes it.
func (w *writer) run(
	ctx context.Context, id string, runtime runtime, writes int64, terminal bool, output *counter, while func() error,
) (failure error) {
	dd := []string{"dd", "if=/dev/zero", fmt.Sprintf("bs=%d", writeBytes), fmt.Sprintf("count=%d", writes), "status=none"}
	spec := []oci.SpecOpts{
		oci.WithImageConfig(w.image), oci.WithProcessArgs(dd...), oci.WithCgroup(podsCgroup + "/" + id),
	}
	// runc's shim wants all outputs of a container or none.
	streams := []cio.Opt{cio.WithStreams(nil, output, io.Discard)}
	if terminal {
		spec = append(spec, oci.WithTTY)
		streams = append(streams, cio.WithTerminal)
	}
	var of any
	if runtime.Options.BinaryName != "" {
		of = &runc.Options{BinaryName: runtime.Options.BinaryName}
	}
	container, err := w.client.NewContainer(ctx, id, client.WithImage(w.image), client.WithNewSnapshot(id, w.image),
		client.WithNewSpec(spec...), client.WithRuntime(runtime.Type, of))
	if err != nil {
		return err
	}
	// Also after an interruption.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	defer func() { failure = errors.Join(failure, container.Delete(end, client.WithSnapshotCleanup)) }()
	task, err := container.NewTask(ctx, cio.NewCreator(streams...))
	if err != nil {
		return err
	}
	defer func() {
		output.begin()
		_, err := task.Delete(end, client.WithProcessKill)
		failure = errors.Join(failure, err)
	}()
	exit, err := task.Wait(ctx)
	if err != nil {
		return err
	}
	if err := task.Start(ctx); err != nil {
		return err
	}
	if err := while(); err != nil {
		return err
	}
	if status := <-exit; status.Error() != nil || status.ExitCode() != 0 {
		return errors.Join(fmt.Errorf("the container ended with %d", status.ExitCode()), status.Error())
	}
	return nil
}

// counter takes output from `begin` on, and knows when all has come. Until then whoever writes is held up, so that a
// container's start is in no figure.
type counter struct {
	began    chan struct{}
	all      chan struct{}
	begin    func()
	expected int64
	taken    int64
}

func newCounter(expected int64) *counter {
	began := make(chan struct{})
	begin := sync.OnceFunc(func() { close(began) })
	return &counter{began: began, all: make(chan struct{}), begin: begin, expected: expected}
}

var _ io.Writer = (*counter)(nil)

func (c *counter) Write(bytes []byte) (int, error) {
	<-c.began
	before := c.taken
	c.taken += int64(len(bytes))
	if before < c.expected && c.taken >= c.expected {
		close(c.all)
	}
	return len(bytes), nil
}

func (c *counter) wait(ctx context.Context) error {
	select {
	case <-c.all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
