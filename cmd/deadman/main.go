// Command deadman is a dead man's switch that acts.
package main

import (
	"os"

	"deadman/internal/cli"
	"deadman/internal/supervisor"
)

func main() {
	// A child agent begins as this program, and becomes the agent before
	// anything else happens.
	if supervisor.IsShim() {
		supervisor.Shim()
	}
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
