package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Between two looks at a container that is about to end.
const exitPoll = 5 * time.Millisecond

// logs measures what goes through standard output to the container's log, without and with a terminal.
func (b *bench) logs(ctx context.Context, options options) error {
	for range options.rounds {
		for _, handler := range options.handlers {
			for _, terminal := range []bool{false, true} {
				if err := b.log(ctx, handler, terminal, int64(options.mebibytes)<<20); err != nil {
					return fmt.Errorf("%s, log %s: %w", handler, through(terminal), err)
				}
			}
		}
	}
	return nil
}

func (b *bench) log(ctx context.Context, handler string, terminal bool, bytes int64) error {
	line := "a line of a log, as long as many are: 0123456789 0123456789 0123456789 012345"
	config := b.container()
	config.Command = []string{"sh", "-c", fmt.Sprintf("yes '%s' | head -c %d", line, bytes)}
	config.Stdin, config.Tty = false, terminal
	// What it writes into the page cache is the container's, too.
	config.Linux.Resources.MemoryLimitInBytes = 0
	p, err := b.create(ctx, handler, config, discard)
	if err != nil {
		return err
	}
	before, err := b.engine.own()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := b.startContainer(ctx, p, discard); err != nil {
		return err
	}
	if err := b.waitForExit(ctx, p); err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := b.engine.own()
	if err != nil {
		return err
	}
	if err := b.end(ctx, p, discard); err != nil {
		return err
	}
	if err := checkLog(filepath.Join(p.config.LogDirectory, config.LogPath), bytes); err != nil {
		return err
	}
	if err := os.RemoveAll(p.config.LogDirectory); err != nil {
		return err
	}
	if err := b.report(handler, "log "+through(terminal), "B/s", perSecond(bytes, took)); err != nil {
		return err
	}
	share := 100 * (after - before) / took
	return b.report(handler, "containerd's share of the CPU, log "+through(terminal), "%", int64(share))
}

func through(terminal bool) string {
	if terminal {
		return "through a terminal"
	}
	return "through a pipe"
}

func perSecond(bytes int64, took time.Duration) int64 {
	return int64(float64(bytes) / took.Seconds())
}

func (b *bench) waitForExit(ctx context.Context, p *pod) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for {
		response, err := b.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: p.container})
		if err != nil {
			return err
		}
		if response.Status.State == cri.ContainerState_CONTAINER_EXITED {
			if response.Status.ExitCode != 0 {
				return fmt.Errorf("the container ended with %d", response.Status.ExitCode)
			}
			return nil
		}
		select {
		case <-time.After(exitPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// checkLog makes sure that nothing was lost: a fast loss is no throughput.
func checkLog(path string, bytes int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < bytes {
		return fmt.Errorf("the log has %d bytes of at least %d", info.Size(), bytes)
	}
	return nil
}
