package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// crowds starts many pods, as many at the same time as each width says.
func (b *bench) crowds(ctx context.Context, handlers []string, count int, widths []int) error {
	for _, width := range widths {
		for _, handler := range handlers {
			if err := b.crowd(ctx, handler, count, width); err != nil {
				return fmt.Errorf("%s, %d pods, %d at a time: %w", handler, count, width, err)
			}
		}
	}
	return nil
}

func (b *bench) crowd(ctx context.Context, handler string, count, width int) error {
	among := fmt.Sprintf("%d pods, %d at a time", count, width)
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
	ended := inParallel(8, len(started), func(index int) error { return b.end(ctx, started[index], discard) })
	if err := errors.Join(err, ended); err != nil {
		return err
	}
	if err := b.report(handler, among+", all running", "ns", all.Nanoseconds()); err != nil {
		return err
	}
	return b.report(handler, among+", failures", "1", failed)
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
