// Command snapfs mounts, browses and restores InfluxDB 0.9 snapshot chains.
package main

import (
	"context"
	"os"
)

func main() { os.Exit(run()) }

// run is main without the exit, for tests that call the command by name.
func run() int {
	ctx, signals := notify(context.Background())
	// Signals are caught to the end: one that comes when all is done must not make
	// it look as if it were not.
	app := &App{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, signals: signals}
	return app.Run(ctx, os.Args[1:])
}
