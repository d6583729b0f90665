package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// How many pods are removed at a time: their end is not measured where many are started.
const removedAtOnce = 8

// How often the end of such a pod is tried.
const endAttempts = 3

// crowds starts many pods of one handler after the other, so many at the same time.
func (b *bench) crowds(ctx context.Context, options options) error {
	for _, handler := range options.handlers {
		if err := b.crowd(ctx, handler, options.count, options.width); err != nil {
			return fmt.Errorf("%s, %s, %d at a time: %w", handler, among(options.count), options.width, err)
		}
	}
	return nil
}

func (b *bench) crowd(ctx context.Context, handler string, count, width int) error {
	among := fmt.Sprintf("%s, %d at a time", among(count), width)
	var mutex sync.Mutex
	var started []*pod
	var failed int64
	begin := time.Now()
	err := inParallel(width, count, func(int) error {
		begin := time.Now()
		pod, err := b.start(ctx, handler, discard)
		took := time.Since(begin)
		mutex.Lock()
		defer mutex.Unlock()
		if err != nil {
			failed++
			fmt.Fprintf(os.Stderr, "cri-bench: %s, %s: %v\n", handler, among, err)
			return ctx.Err()
		}
		started = append(started, pod)
		return b.report(handler, among+", each", "ns", took.Nanoseconds())
	})
	all := time.Since(begin)
	ended := b.endAll(ctx, started)
	if err := errors.Join(err, ended); err != nil {
		return err
	}
	if err := b.report(handler, among+", all running", "ns", all.Nanoseconds()); err != nil {
		return err
	}
	return b.report(handler, among+", failures", "1", failed)
}

// endAll ends many pods. What fails is tried again, as kubelet does: containerd gives a shim two seconds to answer, which on a busy
// machine may be too few.
func (b *bench) endAll(ctx context.Context, pods []*pod) error {
	return inParallel(removedAtOnce, len(pods), func(index int) error {
		var err error
		for range endAttempts {
			if err = b.end(ctx, pods[index], discard); err == nil || ctx.Err() != nil {
				break
			}
			fmt.Fprintln(os.Stderr, "cri-bench:", err)
		}
		return err
	})
}

// inParallel calls work for 0 to count-1, `width` of them at a time, and stops at errors.
func inParallel(width, count int, work func(int) error) error {
	indices := make(chan int, count)
	for index := range count {
		indices <- index
	}
	close(indices)
	failures := make([]error, width)
	var workers sync.WaitGroup
	for worker := range width {
		workers.Go(func() {
			for index := range indices {
				if failures[worker] = work(index); failures[worker] != nil {
					return
				}
			}
		})
	}
	workers.Wait()
	return errors.Join(failures...)
}
