package main

import (
	"os/user"
	"strconv"
	"testing"

	"github.com/snapfs/snapfs/restore"
)

func TestParseOwner(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip(err) // a machine without a table of users
	}
	uid, err := strconv.Atoi(me.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(me.Gid)
	if err != nil {
		t.Fatal(err)
	}
	group := me.Gid
	if g, err := user.LookupGroupId(me.Gid); err == nil {
		group = g.Name
	}
	for s, want := range map[string]restore.Owner{
		me.Username:               {UID: uid, GID: gid},
		me.Username + ":" + group: {UID: uid, GID: gid},
		me.Username + ":4321":     {UID: uid, GID: 4321},
		":" + group:               {UID: -1, GID: gid},
		"54321":                   {UID: 54321, GID: -1},
		"54321:4321":              {UID: 54321, GID: 4321},
	} {
		if got, err := parseOwner(s); err != nil || *got != want {
			t.Errorf("%q: %v, %v, want %v", s, got, err, want)
		}
	}
	if got, err := parseOwner(""); got != nil || err != nil {
		t.Error(got, err)
	}
	for _, s := range []string{":", "x:", "no such user", "-1", "1:-1", "1:no such group", "99999999999"} {
		if got, err := parseOwner(s); err == nil || exitCode(err) != exitUsage {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}

func TestReminder(t *testing.T) {
	u := &user.User{Uid: "123"}
	for _, tt := range []struct {
		owner string
		euid  int
		want  bool
	}{{"", 0, true}, {"", 1000, true}, {"", 123, false}, {"influxdb", 0, false}, {"root", 0, false}} {
		if got := othersFiles(tt.owner, u, tt.euid); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}
