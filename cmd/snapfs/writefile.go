package main

import (
	"errors"
	"io"
	"os"

	"github.com/snapfs/snapfs/internal/durable"
)

// writeFile makes a file that is there as a whole or not at all, in place of
// one that is there already. A device or a pipe is written to.
func writeFile(name string, write func(w io.Writer) error) error {
	if durable.Regular(name) != nil {
		out, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(out), out.Close())
	}
	out, err := durable.Temp(name)
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	err = write(out)
	if err = errors.Join(err, out.Chmod(0o644), out.Close()); err != nil {
		return err
	}
	return durable.Replace(out.Name(), name)
}
