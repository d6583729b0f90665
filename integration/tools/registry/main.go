// Command registry serves the test node's images from a directory: the distribution project's registry with its
// file system driver alone, which keeps the cloud drivers and their dependencies out of the build.
package main

import (
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if err := registry.RootCmd.Execute(); err != nil {
		os.Exit(1)
	}
}
