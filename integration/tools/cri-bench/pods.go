package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// fill starts pods of one handler after the other, one at a time. It reports how long each takes to run, what each pod's shim
// takes among so many pods, and what asking them for their statistics takes.
func (b *bench) fill(ctx context.Context, options options) error {
	for _, handler := range options.handlers {
		if err := b.fillWith(ctx, handler, options); err != nil {
			return fmt.Errorf("%s, pods: %w", handler, err)
		}
	}
	return nil
}

func (b *bench) fillWith(ctx context.Context, handler string, options options) (failure error) {
	var pods []*pod
	defer func() {
		failure = errors.Join(failure, b.endAll(ctx, pods))
	}()
	count := max(options.count, slices.Max(options.pods))
	each := among(count) + ", 1 at a time, each"
	for len(pods) < count {
		begin := time.Now()
		pod, err := b.start(ctx, handler, discard)
		if err != nil {
			return err
		}
		pods = append(pods, pod)
		if err := b.report(handler, each, "ns", time.Since(begin).Nanoseconds()); err != nil {
			return err
		}
		// An exec, so that what it leaves allocated counts too.
		if err := b.exec(ctx, pod, discard); err != nil {
			return err
		}
		if !slices.Contains(options.pods, len(pods)) {
			continue
		}
		for _, pod := range pods {
			if err := b.reportFootprint(handler, among(len(pods)), pod); err != nil {
				return err
			}
		}
	}
	return b.statsLatency(ctx, handler, pods, options.seconds)
}

func among(count int) string {
	if count == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", count)
}

func (b *bench) reportFootprint(handler, among string, pod *pod) error {
	footprint, err := shimFootprint(pod.id)
	if err != nil {
		return err
	}
	if err := b.report(handler, "dirty memory, "+among, "B", footprint.dirty); err != nil {
		return err
	}
	return b.report(handler, "PSS, "+among, "B", footprint.proportional)
}
