// Command registry serves the test node's images from a directory: the distribution project's registry with its
// file system driver alone, which keeps the cloud drivers and their dependencies out of the build.
package main

import (
	"fmt"
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

// tracesExporter decides where the registry sends its traces; unset means a collector on loopback, which no node has.
const tracesExporter = "OTEL_TRACES_EXPORTER"

func main() {
	if _, set := os.LookupEnv(tracesExporter); !set {
		if err := os.Setenv(tracesExporter, "none"); err != nil {
			fmt.Fprintln(os.Stderr, "registry:", err)
			os.Exit(1)
		}
	}
	if err := registry.RootCmd.Execute(); err != nil {
		os.Exit(1)
	}
}
