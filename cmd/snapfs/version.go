package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
	mangokong "github.com/alecthomas/mango-kong"
	"github.com/muesli/roff"
)

type versionCmd struct {
	JSON bool `name:"json" help:"A JSON object."`
}

func (c *versionCmd) Run(a *App) error {
	if c.JSON {
		return a.printJSON(map[string]string{"version": version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
	}
	_, err := fmt.Fprintf(a.Stdout, "snapfs %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version returns the version that the Go tool put into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

type manCmd struct{}

func (manCmd) Help() string {
	return `Examples:
  snapfs man | man -l -
  mkdir -p ~/.local/share/man/man1 && snapfs man > ~/.local/share/man/man1/snapfs.1`
}

func (c *manCmd) Run(a *App) error {
	all, err := kong.New(new(cli), a.options()...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.Stdout, mangokong.NewManPage(1, all.Model).Build(roff.NewDocument()))
	return err
}
