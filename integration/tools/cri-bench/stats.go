package main

import (
	"context"
	"encoding/json"
	"errors"
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

// statistics measures what a shim's answer costs it, of some pods of each handler, the handlers in turns in every round.
func (b *bench) statistics(ctx context.Context, options options) (failure error) {
	handlers := map[string]*asked{}
	defer func() {
		for _, of := range handlers {
			failure = errors.Join(failure, of.end(ctx, b))
		}
	}()
	for _, handler := range options.handlers {
		of := &asked{}
		handlers[handler] = of
		for range options.count {
			if err := of.add(ctx, b, handler); err != nil {
				return fmt.Errorf("%s, statistics: %w", handler, err)
			}
		}
	}
	for range options.rounds {
		for _, handler := range options.handlers {
			if err := b.statsCPU(ctx, handler, handlers[handler], time.Duration(options.seconds)*time.Second); err != nil {
				return fmt.Errorf("%s, statistics: %w", handler, err)
			}
		}
	}
	return nil
}

// statsCPU asks the shims themselves, one request after the other without a pause, so that most of the time is theirs: CPU time
// that a clock of 10 ms steps counts has to be long.
func (b *bench) statsCPU(ctx context.Context, handler string, of *asked, span time.Duration) error {
	before, err := b.engine.shims()
	if err != nil {
		return err
	}
	var count int64
	for begin := time.Now(); time.Since(begin) < span; count++ {
		index := int(count) % len(of.pods)
		if err := of.shims[index].stats(ctx, of.pods[index].container); err != nil {
			return err
		}
	}
	after, err := b.engine.shims()
	if err != nil {
		return err
	}
	return b.report(handler, "CPU of a shim per Stats", "ns", (after-before).Nanoseconds()/count)
}

// asked is a handler's pods, each with a connection to its shim.
type asked struct {
	pods  []*pod
	shims []*shim
}

func (a *asked) add(ctx context.Context, b *bench, handler string) error {
	pod, err := b.start(ctx, handler, discard)
	if err != nil {
		return err
	}
	a.pods = append(a.pods, pod)
	shim, err := connectToShim(pod.id)
	if err != nil {
		return err
	}
	a.shims = append(a.shims, shim)
	return nil
}

func (a *asked) end(ctx context.Context, b *bench) error {
	for _, shim := range a.shims {
		shim.client.Close()
	}
	return b.endAll(ctx, a.pods)
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
