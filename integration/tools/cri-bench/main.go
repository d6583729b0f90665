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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type options struct {
	socket       string
	image        string
	handlers     []string
	iterations   int
	pods         []int
	statsSeconds int
	crowd        int
	widths       []int
	logMebibytes int
	logRounds    int
}

// measurement is one line of output. Unit is "ns", "B", "B/s" or "1".
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
	engine, err := findEngine()
	if err != nil {
		return err
	}
	bench := &bench{
		engine:  engine,
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
	if err := bench.memory(ctx, options.handlers, options.pods, options.statsSeconds); err != nil {
		return err
	}
	if err := bench.crowds(ctx, options.handlers, options.crowd, options.widths); err != nil {
		return err
	}
	return bench.logs(ctx, options.handlers, options.logMebibytes, options.logRounds)
}

func parse() (options, error) {
	var parsed options
	var handlers, pods, widths string
	flag.StringVar(&parsed.socket, "socket", "/run/containerd/containerd.sock", "containerd's `path`")
	flag.StringVar(&parsed.image, "image", "", "the containers' image `reference`")
	flag.StringVar(&handlers, "handlers", "", "runtime handlers, separated by commas")
	flag.IntVar(&parsed.iterations, "iterations", 30, "rounds of the latency measurements")
	flag.StringVar(&pods, "pods", "1,10,50", "pods at once in the memory measurements, rising")
	flag.IntVar(&parsed.statsSeconds, "stats-seconds", 5, "seconds of asking for statistics")
	flag.IntVar(&parsed.crowd, "crowd", 100, "pods that are started together")
	flag.StringVar(&widths, "widths", "1,8,32", "how many of them at a time")
	flag.IntVar(&parsed.logMebibytes, "log-mebibytes", 32, "what a container writes to its log")
	flag.IntVar(&parsed.logRounds, "log-rounds", 3, "rounds of the log measurements")
	flag.Parse()
	parsed.handlers = strings.FieldsFunc(handlers, isComma)
	var errPods, errWidths error
	parsed.pods, errPods = numbers(pods)
	parsed.widths, errWidths = numbers(widths)
	if err := errors.Join(errPods, errWidths); err != nil {
		return parsed, err
	}
	least := min(parsed.iterations, parsed.statsSeconds, parsed.crowd, parsed.logMebibytes, parsed.logRounds)
	if flag.NArg() > 0 || parsed.image == "" || len(parsed.handlers) == 0 || least < 1 || !slices.IsSorted(parsed.pods) {
		return parsed, errors.New("needs -image and -handlers, counts of at least one, and nothing else")
	}
	return parsed, nil
}

func isComma(r rune) bool { return r == ',' }

// numbers reads a list of positive numbers.
func numbers(list string) ([]int, error) {
	var parsed []int
	for _, text := range strings.FieldsFunc(list, isComma) {
		number, err := strconv.Atoi(text)
		if err != nil || number < 1 {
			return nil, fmt.Errorf("%q in %q is no positive number", text, list)
		}
		parsed = append(parsed, number)
	}
	if len(parsed) == 0 {
		return nil, fmt.Errorf("%q has no numbers", list)
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
