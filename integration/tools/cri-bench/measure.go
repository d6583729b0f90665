package main

import (
	"context"
	"fmt"
	"time"
)

// latencies walks one pod of each handler through its life in every round.
func (b *bench) latencies(ctx context.Context, options options) error {
	return b.inTurns(options, func(handler string, record recorder) error { return b.life(ctx, handler, record) })
}

// unlimited starts a container without a limit in every round. Ballast gives those with one a view of /proc, which no other runtime
// does: here all do the same.
func (b *bench) unlimited(ctx context.Context, options options) error {
	return b.inTurns(options, func(handler string, record recorder) error {
		container := b.container()
		container.Linux.Resources.MemoryLimitInBytes = 0
		pod, err := b.create(ctx, handler, container, discard)
		if err != nil {
			return err
		}
		err = b.startContainer(ctx, pod, func(what string, took time.Duration) error {
			return record(what+" without limits", took)
		})
		if err != nil {
			return err
		}
		// Its process may not listen to SIGTERM yet, and stopping it is measured elsewhere.
		return b.remove(ctx, pod.id)
	})
}

// inTurns measures each handler once in every round. The first round warms up and is not reported. Which handler begins
// changes with the round: nobody always follows the same one.
func (b *bench) inTurns(options options, measure func(handler string, record recorder) error) error {
	handlers := options.handlers
	for round := range options.rounds + 1 {
		for turn := range handlers {
			handler := handlers[(round+turn)%len(handlers)]
			record := discard
			if round > 0 {
				record = b.recorder(handler)
			}
			if err := measure(handler, record); err != nil {
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
