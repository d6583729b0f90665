package main

import (
	"context"
	"fmt"

	"golang.org/x/net/websocket"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The channels of v4.channel.k8s.io, the first byte of each message.
const (
	stdin  = 0
	stdout = 1
)

// attach sends a line to the container and waits for the first byte that comes back.
func (b *bench) attach(ctx context.Context, p *pod, record recorder) error {
	return timed(ctx, record, "Attach, first byte", func(ctx context.Context) error {
		request := &cri.AttachRequest{ContainerId: p.container, Stdin: true, Stdout: true}
		response, err := b.runtime.Attach(ctx, request)
		if err != nil {
			return err
		}
		config, err := websocket.NewConfig("ws"+response.Url[len("http"):], "http://localhost/")
		if err != nil {
			return err
		}
		config.Protocol = []string{"v4.channel.k8s.io"}
		connection, err := config.DialContext(ctx)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", response.Url, err)
		}
		defer connection.Close()
		if err := websocket.Message.Send(connection, []byte{stdin, 'x', '\n'}); err != nil {
			return err
		}
		for {
			var message []byte
			if err := websocket.Message.Receive(connection, &message); err != nil {
				return fmt.Errorf("receive: %w", err)
			}
			// An empty message of each channel comes first.
			if len(message) > 1 && message[0] == stdout {
				return nil
			}
		}
	})
}
