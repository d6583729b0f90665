package main

import (
	"io"
	"net"
	"testing"

	current "github.com/containernetworking/cni/pkg/types/100"
)

func TestBytesAreCopiedBothWaysUntilBothSidesEnd(t *testing.T) {
	pod := listen(t)
	host := listen(t)
	go func() {
		client, err := host.Accept()
		if err == nil {
			connect(client.(*net.TCPConn), pod.Addr().String())
		}
	}()
	go func() {
		connection, err := pod.Accept()
		if err != nil {
			return
		}
		question, _ := io.ReadAll(connection)
		_, _ = connection.Write(append([]byte("answer to "), question...))
		connection.Close()
	}()
	client, err := net.Dial("tcp", host.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(client)
	if err != nil || string(answer) != "answer to question" {
		t.Fatalf("%q, %v", answer, err)
	}
}

func TestOtherProtocolsThanTCPAreRefusedByName(t *testing.T) {
	result := &current.Result{IPs: []*current.IPConfig{{Address: net.IPNet{IP: net.IPv4(10, 88, 0, 2)}}}}
	err := start("container", []portMapping{{HostPort: 53, ContainerPort: 53, Protocol: "udp"}}, result)
	if err == nil || err.Error() != "host port 53: only TCP can be forwarded here, not udp" {
		t.Fatal(err)
	}
}

func listen(t *testing.T) net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}
