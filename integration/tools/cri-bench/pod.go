package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// One request may take this long before it counts as failed.
const requestTimeout = time.Minute

// The cgroup of all pods.
const podsCgroup = "/kubepods"

// The containers' process: it says back what it is told, and ends at once on SIGTERM, so that stopping measures the runtime. Its
// start takes next to nothing, so that starting does, too.
var process = []string{"/parrot"}

// bench creates pods and remembers them until they are removed.
type bench struct {
	runtime cri.RuntimeServiceClient
	image   string
	engine  engine
	mutex   sync.Mutex // of what follows
	output  *json.Encoder
	pods    map[string]struct{}
	made    int
}

// pod is a sandbox with one container.
type pod struct {
	id        string
	container string
	config    *cri.PodSandboxConfig
}

// recorder gets the time that a step of a pod's life took.
type recorder func(what string, took time.Duration) error

func discard(string, time.Duration) error { return nil }

func timed(ctx context.Context, record recorder, what string, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	begin := time.Now()
	err := request(ctx)
	took := time.Since(begin)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return record(what, took)
}

// start makes a pod with a running container.
func (b *bench) start(ctx context.Context, handler string, record recorder) (*pod, error) {
	made, err := b.create(ctx, handler, b.container(), record)
	if err != nil {
		return nil, err
	}
	return made, b.startContainer(ctx, made, record)
}

// create makes a pod with a container that does not run yet.
func (b *bench) create(
	ctx context.Context, handler string, container *cri.ContainerConfig, record recorder,
) (*pod, error) {
	name := b.name(handler)
	made := &pod{config: &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "bench"},
		Hostname:     "bench",
		LogDirectory: "/var/log/bench/" + name,
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: podsCgroup + "/burstable/pod" + name,
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
			},
		},
	}}
	err := timed(ctx, record, "RunPodSandbox", func(ctx context.Context) error {
		request := &cri.RunPodSandboxRequest{Config: made.config, RuntimeHandler: handler}
		response, err := b.runtime.RunPodSandbox(ctx, request)
		if err == nil {
			made.id = response.PodSandboxId
			b.remember(made.id)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = timed(ctx, record, "CreateContainer", func(ctx context.Context) error {
		response, err := b.runtime.CreateContainer(ctx, &cri.CreateContainerRequest{
			PodSandboxId: made.id, Config: container, SandboxConfig: made.config,
		})
		if err == nil {
			made.container = response.ContainerId
		}
		return err
	})
	return made, err
}

func (b *bench) startContainer(ctx context.Context, p *pod, record recorder) error {
	return timed(ctx, record, "StartContainer", func(ctx context.Context) error {
		_, err := b.runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: p.container})
		return err
	})
}

func (b *bench) name(handler string) string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.made++
	return fmt.Sprintf("bench-%s-%d", handler, b.made)
}

func (b *bench) remember(pod string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.pods[pod] = struct{}{}
}

func (b *bench) container() *cri.ContainerConfig {
	return &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "main"},
		Image:    &cri.ImageSpec{Image: b.image},
		Command:  process,
		LogPath:  "main.log",
		Stdin:    true,
		Linux: &cri.LinuxContainerConfig{
			Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: 128 << 20, CpuShares: 512},
			SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
			},
		},
	}
}

func (b *bench) exec(ctx context.Context, p *pod, record recorder) error {
	return timed(ctx, record, "ExecSync", func(ctx context.Context) error {
		request := &cri.ExecSyncRequest{ContainerId: p.container, Cmd: []string{"true"}}
		response, err := b.runtime.ExecSync(ctx, request)
		if err == nil && response.ExitCode != 0 {
			err = fmt.Errorf("`true` ended with %d: %s", response.ExitCode, response.Stderr)
		}
		return err
	})
}

// end stops and removes the container and the pod.
func (b *bench) end(ctx context.Context, p *pod, record recorder) error {
	err := timed(ctx, record, "StopContainer", func(ctx context.Context) error {
		_, err := b.runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: p.container, Timeout: 10})
		return err
	})
	if err != nil {
		return err
	}
	err = timed(ctx, record, "RemoveContainer", func(ctx context.Context) error {
		_, err := b.runtime.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: p.container})
		return err
	})
	if err != nil {
		return err
	}
	return timed(ctx, record, "Stop+RemovePodSandbox", func(ctx context.Context) error {
		return b.remove(ctx, p.id)
	})
}

func (b *bench) remove(ctx context.Context, id string) error {
	if _, err := b.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
		return err
	}
	if _, err := b.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
		return err
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	delete(b.pods, id)
	return nil
}

// removeRemaining removes what a failed or interrupted measurement left, also pods whose creation was cut off.
func (b *bench) removeRemaining() error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	var failures []error
	for id := range b.pods {
		if err := b.remove(ctx, id); err != nil {
			failures = append(failures, fmt.Errorf("remove pod %s: %w", id, err))
		}
	}
	list, err := b.runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return errors.Join(append(failures, fmt.Errorf("list pods: %w", err))...)
	}
	for _, left := range list.Items {
		if left.Metadata.Namespace != "bench" {
			continue
		}
		failures = append(failures, fmt.Errorf("pod %s was left behind", left.Metadata.Name))
		if err := b.remove(ctx, left.Id); err != nil {
			failures = append(failures, fmt.Errorf("remove pod %s: %w", left.Id, err))
		}
	}
	return errors.Join(failures...)
}
