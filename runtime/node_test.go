package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestParseNode(t *testing.T) {
	defaults := Node{Socket: "/run/ksnap/restore.sock", State: "/run/ksnap/runtime", Deadline: 30 * time.Second}
	for text, want := range map[string]Node{
		"":              defaults,
		"{}":            defaults,
		"garbage":       defaults,
		`{"socket": 1}`: defaults,
		`{"socket": "relative", "deadline_ms": -1}`:      defaults,
		`{"runc": "/opt/runc", "deadline_ms": 1500}`:     {"/opt/runc", defaults.Socket, defaults.State, 1500 * time.Millisecond},
		`{"socket": "/s", "state": "/t", "unknown": {}}`: {"", "/s", "/t", defaults.Deadline},
	} {
		if got := parseNode([]byte(text)); got != want {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestFindRuncNeverFindsItself(t *testing.T) {
	folder := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(folder, "runc")); err != nil {
		t.Fatal(err)
	}
	real := write(t, filepath.Join(folder, "second", "runc"), "#!/bin/sh\n")
	t.Setenv("PATH", folder+":"+filepath.Dir(real))
	if path, err := (Node{}).findRunc(); err == nil {
		t.Fatalf("found %s, which is not executable", path)
	}
	if err := os.Chmod(real, 0o755); err != nil {
		t.Fatal(err)
	}
	if path, err := (Node{Runc: self}).findRunc(); err != nil || path != real {
		t.Fatal(path, err)
	}
}
