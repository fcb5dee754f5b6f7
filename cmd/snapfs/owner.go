package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/snapfs/snapfs/internal/hint"
	"github.com/snapfs/snapfs/restore"
)

// parseOwner reads USER, USER:GROUP or :GROUP, by names or numbers. A user by
// name without a group stands for his own. Nothing is nobody.
func parseOwner(s string) (*restore.Owner, error) {
	if s == "" {
		return nil, nil
	}
	o := &restore.Owner{UID: -1, GID: -1}
	name, group, both := strings.Cut(s, ":")
	if name == "" && group == "" || both && group == "" {
		return nil, usageError(fmt.Errorf("--owner %q: not USER or USER:GROUP", s))
	}
	var err error
	if name != "" {
		var u *user.User
		if u, err = user.Lookup(name); err == nil {
			if o.UID, err = strconv.Atoi(u.Uid); err == nil {
				o.GID, err = strconv.Atoi(u.Gid)
			}
		} else if n, nerr := id(name); nerr == nil {
			o.UID, err = n, nil
		}
	}
	if err == nil && group != "" {
		var g *user.Group
		if g, err = user.LookupGroup(group); err == nil {
			o.GID, err = strconv.Atoi(g.Gid)
		} else if n, nerr := id(group); nerr == nil {
			o.GID, err = n, nil
		}
	}
	if err != nil {
		return nil, usageError(fmt.Errorf("--owner %q: %w", s, err))
	}
	return o, nil
}

// mayGive returns an error if this process may not make o the owner of files.
func mayGive(o *restore.Owner) error {
	if o == nil {
		return nil
	}
	f, err := os.CreateTemp("", "snapfs-owner-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Chown(o.UID, o.GID); errors.Is(err, fs.ErrPermission) {
		return usageError(hint.Wrap(errors.New("--owner: you may not give files to that user or group"), "run it as root"))
	}
	return nil
}

// id reads the number of a user or group.
func id(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}

// serverUser is the user that the packages of the old server made.
const serverUser = "influxdb"

// remindOfOwner says that there is a user for the server, if the files have
// become those of somebody else.
func (a *App) remindOfOwner(owner string) {
	if u, err := user.Lookup(serverUser); err == nil && othersFiles(owner, u, os.Geteuid()) {
		a.warn("there is a user %s here, who may not read these files: --owner %s gives them away", serverUser, serverUser)
	}
}

// othersFiles reports whether files do not belong to u that euid has written for
// --owner.
func othersFiles(owner string, u *user.User, euid int) bool {
	return owner == "" && u.Uid != strconv.Itoa(euid)
}
