// Command cri-bench measures container runtimes beside each other on one containerd, one handler after the other, so that
// noise on the machine hits all alike. Each call measures one part; each measurement is one line of JSON on standard output.
// It speaks to containerd's socket itself: no client process starts within a measurement. Knows runtimes by their handler's
// name, what containerd's configuration says of it, and their shims' command line only.
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
	socket    string
	image     string
	handlers  []string
	rounds    int
	pods      []int
	count     int
	width     int
	seconds   int
	mebibytes int
}

// parts are what can be measured, by the name that the command line has for it.
var parts = map[string]func(*bench, context.Context, options) error{
	"life":      (*bench).latencies,
	"unlimited": (*bench).unlimited,
	"pods":      (*bench).fill,
	"stats":     (*bench).statistics,
	"crowd":     (*bench).crowds,
	"log":       (*bench).logs,
	"output":    (*bench).outputs,
}

// measurement is one line of output. Unit is "ns", "B", "B/s", "%" or "1".
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
	part, options, err := parse(os.Args[1:])
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
	return part(bench, ctx, options)
}

func parse(arguments []string) (func(*bench, context.Context, options) error, options, error) {
	var parsed options
	var handlers, pods string
	flags := flag.NewFlagSet("cri-bench PART", flag.ContinueOnError)
	flags.StringVar(&parsed.socket, "socket", "/run/containerd/containerd.sock", "containerd's `path`")
	flags.StringVar(&parsed.image, "image", "", "the containers' image `reference`")
	flags.StringVar(&handlers, "handlers", "", "runtime handlers, separated by commas")
	flags.IntVar(&parsed.rounds, "rounds", 1, "rounds of life, unlimited, stats, log and output")
	flags.StringVar(&pods, "pods", "1", "when the pods of `pods` are measured, rising")
	flags.IntVar(&parsed.count, "count", 1, "pods that are started by pods and crowd, and of each handler by stats")
	flags.IntVar(&parsed.width, "width", 1, "how many of them at a time by crowd")
	flags.IntVar(&parsed.seconds, "seconds", 1, "seconds of asking for statistics in pods and, each time, in stats")
	flags.IntVar(&parsed.mebibytes, "mebibytes", 1, "what a container writes in log and output")
	if len(arguments) == 0 || parts[arguments[0]] == nil {
		return nil, parsed, errors.New("the first argument is life, unlimited, pods, stats, crowd, log or output")
	}
	if err := flags.Parse(arguments[1:]); err != nil {
		return nil, parsed, err
	}
	parsed.handlers = strings.FieldsFunc(handlers, isComma)
	var err error
	if parsed.pods, err = numbers(pods); err != nil {
		return nil, parsed, err
	}
	least := min(parsed.rounds, parsed.count, parsed.width, parsed.seconds, parsed.mebibytes)
	if flags.NArg() > 0 || parsed.image == "" || len(parsed.handlers) == 0 || least < 1 || !slices.IsSorted(parsed.pods) {
		return nil, parsed, errors.New("needs -image and -handlers, counts of at least one, and nothing else")
	}
	return parts[arguments[0]], parsed, nil
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
