package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// writeFile makes a file that is there as a whole or not at all, in place of
// one that is there already.
func writeFile(name string, write func(w io.Writer) error) error {
	out, err := os.CreateTemp(filepath.Dir(name), ".snapfs-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	err = write(out)
	if err = errors.Join(err, out.Chmod(0o644), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), name)
}
