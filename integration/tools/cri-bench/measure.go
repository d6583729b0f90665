package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// latencies walks one pod of each handler through its life in every round. The first round warms up and is not
// reported. Which handler begins changes with the round: nobody always follows the same one.
func (b *bench) latencies(ctx context.Context, handlers []string, rounds int) error {
	for round := range rounds + 1 {
		for turn := range handlers {
			handler := handlers[(round+turn)%len(handlers)]
			record := discard
			if round > 0 {
				record = b.recorder(handler)
			}
			if err := b.life(ctx, handler, record); err != nil {
				return fmt.Errorf("%s, round %d: %w", handler, round, err)
			}
		}
	}
	return nil
}

func (b *bench) life(ctx context.Context, handler string, record recorder) error {
	before, err := b.engine.runtimes()
	if err != nil {
		return err
	}
	pod, err := b.start(ctx, handler, record)
	if err != nil {
		return err
	}
	if err := b.exec(ctx, pod, record); err != nil {
		return err
	}
	if err := b.attach(ctx, pod, record); err != nil {
		return err
	}
	if err := b.end(ctx, pod, record); err != nil {
		return err
	}
	after, err := b.engine.runtimes()
	if err != nil {
		return err
	}
	return record("CPU of a pod's life", after-before)
}

func (b *bench) recorder(handler string) recorder {
	return func(what string, took time.Duration) error {
		return b.report(handler, what, "ns", took.Nanoseconds())
	}
}

func (b *bench) report(handler, what, unit string, value int64) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.output.Encode(measurement{Handler: handler, What: what, Unit: unit, Value: value})
}

// memory reports what each pod's shim takes among each of `counts` pods of the same handler, which are in rising order, and then
// what asking the last of these for their statistics takes.
func (b *bench) memory(ctx context.Context, handlers []string, counts []int, statsSeconds int) error {
	for _, handler := range handlers {
		if err := b.memoryOf(ctx, handler, counts, statsSeconds); err != nil {
			return fmt.Errorf("%s, memory: %w", handler, err)
		}
	}
	return nil
}

func (b *bench) memoryOf(ctx context.Context, handler string, counts []int, statsSeconds int) (failure error) {
	var pods []*pod
	defer func() {
		for _, pod := range pods {
			failure = errors.Join(failure, b.end(ctx, pod, discard))
		}
	}()
	for _, count := range counts {
		for len(pods) < count {
			pod, err := b.start(ctx, handler, discard)
			if err != nil {
				return err
			}
			pods = append(pods, pod)
			// An exec, so that what it leaves allocated counts too.
			if err := b.exec(ctx, pod, discard); err != nil {
				return err
			}
		}
		for _, pod := range pods {
			if err := b.reportFootprint(handler, among(count), pod); err != nil {
				return err
			}
		}
	}
	return b.stats(ctx, handler, pods, statsSeconds)
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
	if err := b.report(handler, "processes, "+among, "1", footprint.processes); err != nil {
		return err
	}
	if err := b.report(handler, "dirty, "+among, "B", footprint.dirty); err != nil {
		return err
	}
	if err := b.report(handler, "dirty with shared, "+among, "B", footprint.dirtyShare); err != nil {
		return err
	}
	return b.report(handler, "PSS, "+among, "B", footprint.proportional)
}
