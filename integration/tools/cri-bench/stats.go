package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	shimapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/ttrpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Containers whose statistics are asked for in a second: a full node's kubelet, many times over.
const statsPerSecond = 50

// Where containerd has its shims' bundles, for what comes through CRI.
const bundles = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"

// stats asks for one container's statistics after the other, for so many seconds: through containerd, and of the shims.
func (b *bench) stats(ctx context.Context, handler string, pods []*pod, seconds int) error {
	if err := b.statsLatency(ctx, handler, pods, seconds); err != nil {
		return err
	}
	return b.statsCPU(ctx, handler, pods, time.Duration(seconds)*time.Second)
}

// statsLatency asks containerd. The pauses differ, around a mean: requests that keep step with the kernel's tick, which also
// drives its clocks of CPU time, would all meet it at the same point.
func (b *bench) statsLatency(ctx context.Context, handler string, pods []*pod, seconds int) error {
	what := fmt.Sprintf("ContainerStats, %d a second", statsPerSecond)
	for index := range seconds * statsPerSecond {
		select {
		case <-time.After(rand.N(2 * time.Second / statsPerSecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
		request := &cri.ContainerStatsRequest{ContainerId: pods[index%len(pods)].container}
		err := timed(ctx, b.recorder(handler), what, func(ctx context.Context) error {
			_, err := b.runtime.ContainerStats(ctx, request)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// statsCPU asks the shims themselves, one request after the other without a pause, so that most of the time is theirs: CPU time
// that a clock of 10 ms steps counts has to be long.
func (b *bench) statsCPU(ctx context.Context, handler string, pods []*pod, span time.Duration) error {
	shims := make([]*shim, len(pods))
	for index, pod := range pods {
		shim, err := connectToShim(pod.id)
		if err != nil {
			return err
		}
		defer shim.client.Close()
		shims[index] = shim
	}
	before, err := b.engine.shims()
	if err != nil {
		return err
	}
	var count int64
	for begin := time.Now(); time.Since(begin) < span; count++ {
		index := int(count) % len(pods)
		if err := shims[index].stats(ctx, pods[index].container); err != nil {
			return err
		}
	}
	after, err := b.engine.shims()
	if err != nil {
		return err
	}
	return b.report(handler, "CPU of a shim per Stats", "ns", (after-before).Nanoseconds()/count)
}

// shim is a connection to a pod's shim, as containerd has one.
type shim struct {
	client  *ttrpc.Client
	service string
}

// bootstrap is what containerd notes of a shim. The service's version is 2 or 3; the requests are the same.
type bootstrap struct {
	Version int    `json:"version"`
	Address string `json:"address"`
}

func connectToShim(sandbox string) (*shim, error) {
	found, err := findShim(filepath.Join(bundles, sandbox))
	if err != nil {
		return nil, err
	}
	socket, ok := strings.CutPrefix(found.Address, "unix://")
	if !ok || found.Version < 2 {
		return nil, fmt.Errorf("the shim of sandbox %s has no address and version to connect to: %+v", sandbox, found)
	}
	connection, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	return &shim{ttrpc.NewClient(connection), fmt.Sprintf("containerd.task.v%d.Task", found.Version)}, nil
}

// findShim reads what containerd 2 notes in a bundle, or the address alone, which is all that 1.7 does.
func findShim(bundle string) (found bootstrap, err error) {
	path := filepath.Join(bundle, "bootstrap.json")
	content, err := os.ReadFile(path)
	if gone(err) {
		address, err := os.ReadFile(filepath.Join(bundle, "address"))
		return bootstrap{Version: 2, Address: string(address)}, err
	}
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal(content, &found); err != nil {
		return found, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

func (s *shim) stats(ctx context.Context, container string) error {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(ctx, "k8s.io"), requestTimeout)
	defer cancel()
	var response shimapi.StatsResponse
	if err := s.client.Call(ctx, s.service, "Stats", &shimapi.StatsRequest{ID: container}, &response); err != nil {
		return fmt.Errorf("Stats of %s: %w", container, err)
	}
	if len(response.Stats.GetValue()) == 0 {
		return fmt.Errorf("Stats of %s says nothing", container)
	}
	return nil
}
