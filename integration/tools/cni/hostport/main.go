// Command hostport is a CNI plugin that forwards host ports to a pod, on kernels with and without network address
// translation: with it the work is left to the portmap plugin beside this one, without it a process of its own copies
// bytes between connections. TCP only, because that is all that the test node's pods ask for; the rest is refused.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

const (
	// forward is the first argument of the process that copies; the container's name is the second.
	forward = "forward"
	// state has a file for each container with a forwarding process: its process number.
	state = "/run/hostport"
)

type portMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

type configuration struct {
	types.NetConf
	RuntimeConfig struct {
		PortMappings []portMapping `json:"portMappings"`
	} `json:"runtimeConfig"`
}

func main() {
	if len(os.Args) > 3 && os.Args[1] == forward {
		serve(os.Args[3:])
		return
	}
	plugin := skel.CNIFuncs{Add: add, Check: func(*skel.CmdArgs) error { return nil }, Del: remove}
	skel.PluginMainFuncs(plugin, version.All, "forwards host ports to a pod")
}

func add(args *skel.CmdArgs) error {
	config, result, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	if result == nil {
		return errors.New("hostport must come after a plugin that gives the pod an address")
	}
	if len(config.RuntimeConfig.PortMappings) > 0 {
		if translates() {
			return delegate(args.StdinData)
		}
		if err := start(args.ContainerID, config.RuntimeConfig.PortMappings, result); err != nil {
			return err
		}
	}
	return types.PrintResult(result, config.CNIVersion)
}

func remove(args *skel.CmdArgs) error {
	path := filepath.Join(state, args.ContainerID)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		config, _, err := parse(args.StdinData)
		if err != nil || len(config.RuntimeConfig.PortMappings) == 0 || !translates() {
			return err
		}
		return delegate(args.StdinData)
	}
	if err != nil {
		return err
	}
	process, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	// The number can belong to another process by now.
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process))
	if strings.Contains(string(command), "\x00"+args.ContainerID+"\x00") {
		if err := syscall.Kill(process, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end the forwarding process %d: %w", process, err)
		}
	}
	return os.Remove(path)
}

func parse(stdin []byte) (*configuration, *current.Result, error) {
	config := &configuration{}
	if err := json.Unmarshal(stdin, config); err != nil {
		return nil, nil, fmt.Errorf("parse the network configuration: %w", err)
	}
	if config.RawPrevResult == nil {
		return config, nil, nil
	}
	if err := version.ParsePrevResult(&config.NetConf); err != nil {
		return nil, nil, fmt.Errorf("parse the previous plugin's result: %w", err)
	}
	result, err := current.NewResultFromResult(config.PrevResult)
	return config, result, err
}

// translates tells whether the kernel has network address translation for IPv4.
func translates() bool {
	return exec.Command("iptables", "-t", "nat", "-S").Run() == nil
}

// delegate has portmap, in the same directory, do what this plugin was asked to do.
func delegate(stdin []byte) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	portmap := filepath.Join(filepath.Dir(self), "portmap")
	if os.Getenv("CNI_COMMAND") == "DEL" {
		return invoke.ExecPluginWithoutResult(context.Background(), portmap, stdin, inherited{}, nil)
	}
	result, err := invoke.ExecPluginWithResult(context.Background(), portmap, stdin, inherited{}, nil)
	if err != nil {
		return err
	}
	return result.Print()
}

// inherited gives a plugin this one's environment.
type inherited struct{}

func (inherited) AsEnv() []string { return os.Environ() }

// start listens, so that a port that is taken is an error here, and leaves the rest to a process of its own.
func start(container string, mappings []portMapping, result *current.Result) error {
	address, err := podAddress(result)
	if err != nil {
		return err
	}
	arguments := []string{forward, container}
	var files []*os.File
	for _, mapping := range mappings {
		if !strings.EqualFold(mapping.Protocol, "tcp") && mapping.Protocol != "" {
			return fmt.Errorf("host port %d: only TCP can be forwarded here, not %s", mapping.HostPort, mapping.Protocol)
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(mapping.HostIP, strconv.Itoa(mapping.HostPort)))
		if err != nil {
			return err
		}
		file, err := listener.(*net.TCPListener).File()
		if err != nil {
			return err
		}
		files = append(files, file)
		arguments = append(arguments, net.JoinHostPort(address, strconv.Itoa(mapping.ContainerPort)))
	}
	command := exec.Command("/proc/self/exe", arguments...)
	command.ExtraFiles = files
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the forwarding process: %w", err)
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return errors.Join(err, command.Process.Kill())
	}
	path := filepath.Join(state, container)
	if err := os.WriteFile(path, []byte(strconv.Itoa(command.Process.Pid)), 0o644); err != nil {
		return errors.Join(err, command.Process.Kill())
	}
	return command.Process.Release()
}

func podAddress(result *current.Result) (string, error) {
	for _, address := range result.IPs {
		if address.Address.IP.To4() != nil {
			return address.Address.IP.String(), nil
		}
	}
	return "", errors.New("the pod has no IPv4 address")
}
