package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// serve copies between each listener, by position from descriptor 3 on, and the address of the same position. Ends with
// the process.
func serve(targets []string) {
	var running sync.WaitGroup
	for index, target := range targets {
		file := os.NewFile(uintptr(3+index), target)
		listener, err := net.FileListener(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, "hostport:", err)
			os.Exit(1)
		}
		running.Go(func() {
			for {
				client, err := listener.Accept()
				if err != nil {
					return
				}
				go connect(client.(*net.TCPConn), target)
			}
		})
	}
	running.Wait()
}

// connect copies both ways until both sides have ended.
func connect(client *net.TCPConn, target string) {
	defer client.Close()
	connection, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	pod := connection.(*net.TCPConn)
	defer pod.Close()
	var running sync.WaitGroup
	running.Go(func() { pass(pod, client) })
	running.Go(func() { pass(client, pod) })
	running.Wait()
}

// pass copies until the source ends, and tells the target so.
func pass(target, source *net.TCPConn) {
	// A connection that broke has ended.
	_, _ = io.Copy(target, source)
	_ = target.CloseWrite()
}
