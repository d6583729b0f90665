// Command cri-bench measures container runtimes through containerd's CRI, one handler after the other in every round,
// so that noise on the machine hits all alike. Each measurement is one line of JSON on standard output. It speaks to
// containerd's socket itself: no client process starts within a measurement. Knows runtimes by their handler's name
// and their shims' command line only.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type options struct {
	socket     string
	image      string
	handlers   []string
	iterations int
	pods       int
}

// measurement is one line of output. Unit is "ns" or "B".
type measurement struct {
	Handler string `json:"handler"`
	What    string `json:"what"`
	Unit    string `json:"unit"`
	Value   int64  `json:"value"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "cri-bench:", err)
		os.Exit(1)
	}
}

func run() (failure error) {
	options, err := parse()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	connection, err := grpc.NewClient("unix://"+options.socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", options.socket, err)
	}
	defer connection.Close()
	bench := &bench{
		runtime: cri.NewRuntimeServiceClient(connection),
		image:   options.image,
		output:  json.NewEncoder(os.Stdout),
		pods:    map[string]struct{}{},
	}
	defer func() { failure = errors.Join(failure, bench.removeRemaining()) }()
	if err := pull(ctx, cri.NewImageServiceClient(connection), options.image); err != nil {
		return err
	}
	if err := bench.latencies(ctx, options.handlers, options.iterations); err != nil {
		return err
	}
	return bench.memory(ctx, options.handlers, options.pods)
}

func parse() (options, error) {
	var parsed options
	var handlers string
	flag.StringVar(&parsed.socket, "socket", "/run/containerd/containerd.sock", "containerd's `path`")
	flag.StringVar(&parsed.image, "image", "", "the containers' image `reference`")
	flag.StringVar(&handlers, "handlers", "", "runtime handlers, separated by commas")
	flag.IntVar(&parsed.iterations, "iterations", 30, "rounds of the latency measurements")
	flag.IntVar(&parsed.pods, "pods", 10, "pods at once in the second memory measurement")
	flag.Parse()
	parsed.handlers = strings.FieldsFunc(handlers, func(r rune) bool { return r == ',' })
	if flag.NArg() > 0 || parsed.image == "" || len(parsed.handlers) == 0 || parsed.iterations < 1 || parsed.pods < 1 {
		return parsed, errors.New("needs -image and -handlers, counts of at least one, and nothing else")
	}
	return parsed, nil
}

func pull(ctx context.Context, images cri.ImageServiceClient, image string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err := images.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: image}})
	if err != nil {
		return fmt.Errorf("pull %s: %w", image, err)
	}
	return nil
}
