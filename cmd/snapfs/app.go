package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/snapfs/snapfs/internal/hint"
)

// App is the program with everything that it reads from and writes to.
type App struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string

	ctx     context.Context
	signals *signals // of the process; nil in tests
	told    bool     // whether a waiting parent knows how a mount went
	begun   *begun   // of a command that may be left; else nil
}

// exited is what kong's exit becomes, so that only main exits.
type exited int

// Run parses the arguments, runs a command, and returns the exit code. Errors
// have been printed to Stderr by then.
func (a *App) Run(ctx context.Context, args []string) (code int) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exited:
			code = int(e)
		default:
			panic(e)
		}
	}()
	a.ctx = ctx
	var c cli
	parser, err := a.parser(&c, args)
	if err != nil {
		fmt.Fprintf(a.Stderr, "snapfs: %v\n", err)
		return exitOther
	}
	k, err := parser.Parse(oldFlags(args))
	if err != nil {
		return a.usage(err)
	}
	return a.report(a.run(k, &c))
}

// usage prints what is wrong with the arguments.
func (a *App) usage(err error) int {
	fmt.Fprintf(a.Stderr, "snapfs: %v\n", err)
	help := "snapfs --help"
	var p *kong.ParseError
	if errors.As(err, &p) && p.Context != nil {
		if n := p.Context.Selected(); n != nil {
			help = n.FullPath() + " --help"
		}
	}
	fmt.Fprintf(a.Stderr, "hint: %s\n", help)
	return exitUsage
}

// report prints an error with its hint, and returns the exit code for it.
func (a *App) report(err error) int {
	if err == nil {
		return exitOK
	}
	code := exitCode(err)
	if code == exitInterrupted {
		fmt.Fprintln(a.Stderr, "snapfs: interrupted")
		if h := hint.Of(err); h != "" {
			fmt.Fprintf(a.Stderr, "hint: %s\n", printable(h))
		}
		return code
	}
	a.complain(err)
	return code
}

// complain prints an error that does not end the program.
func (a *App) complain(err error) {
	var quiet *codeError
	if errors.As(err, &quiet) && quiet.error == nil {
		return
	}
	fmt.Fprintf(a.Stderr, "snapfs: %s\n", printable(err.Error()))
	if h := hint.Of(err); h != "" {
		fmt.Fprintf(a.Stderr, "hint: %s\n", printable(h))
	}
}

// terminal returns the width of a terminal that w is, and whether it is one.
func (a *App) terminal(w io.Writer) (width int, ok bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// printable replaces what could confuse a terminal: file names come from
// archives, and errors quote them.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
}
