package main

import (
	"context"
	"fmt"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Containers whose statistics are asked for in a second: a full node's kubelet, many times over.
const statsPerSecond = 50

// stats asks for one container's statistics after the other, for so many seconds.
func (b *bench) stats(ctx context.Context, handler string, pods []*pod, seconds int) error {
	count := seconds * statsPerSecond
	ticker := time.NewTicker(time.Second / statsPerSecond)
	defer ticker.Stop()
	before, err := b.engine.shims()
	if err != nil {
		return err
	}
	for index := range count {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		request := &cri.ContainerStatsRequest{ContainerId: pods[index%len(pods)].container}
		what := fmt.Sprintf("ContainerStats, %d a second", statsPerSecond)
		err := timed(ctx, b.recorder(handler), what, func(ctx context.Context) error {
			_, err := b.runtime.ContainerStats(ctx, request)
			return err
		})
		if err != nil {
			return err
		}
	}
	after, err := b.engine.shims()
	if err != nil {
		return err
	}
	return b.report(handler, "CPU of a shim per ContainerStats", "ns", (after-before).Nanoseconds()/int64(count))
}
