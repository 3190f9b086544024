package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseArgsReadsWhatTheShimWrites(t *testing.T) {
	got, err := parseArgs(strings.Fields("--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup " +
		"create --bundle /b --pid-file /b/init.pid --console-socket /tmp/pty/pty.sock --no-new-keyring abc"))
	if err != nil {
		t.Fatal(err)
	}
	want := Invocation{
		Global:  []Option{{"root", "/run/containerd/runc/k8s.io"}, {"log", "/b/log.json"}, {"log-format", "json"}, {"systemd-cgroup", ""}},
		Command: "create",
		Options: []Option{{"bundle", "/b"}, {"pid-file", "/b/init.pid"}, {"console-socket", "/tmp/pty/pty.sock"}, {"no-new-keyring", ""}},
		ID:      "abc",
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v", got)
	}
	if got.Root() != "/run/containerd/runc/k8s.io" || got.Bundle() != "/b" {
		t.Fatal(got.Root(), got.Bundle())
	}
}

func TestParseArgsForms(t *testing.T) {
	for line, want := range map[string]string{
		"create --bundle=/b id":              "/b",
		"create -b /b id":                    "/b",
		"create -b=/b id":                    "/b",
		"create -bundle /b id":               "/b",
		"create id --bundle /b":              "/b",
		"create id":                          ".",
		"create --bundle /a --bundle /b id":  "/b",
		"create --bundle /b -- id":           "/b",
		"--debug=true create --bundle /b id": "/b",
	} {
		got, err := parseArgs(strings.Fields(line))
		if err != nil || got.ID != "id" || got.Bundle() != want {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
}

func TestParseArgsLeavesOtherCommandsUnread(t *testing.T) {
	for _, command := range []string{"exec", "run", "restore", "state", "features", "events", "update"} {
		got, err := parseArgs([]string{"--root", "/r", command, "--whatever", "id"})
		if err != nil || got.Command != command || got.ID != "" {
			t.Errorf("%s: %+v, %v", command, got, err)
		}
	}
}

func TestParseArgsGivesUpOnWhatItDoesNotKnow(t *testing.T) {
	for _, line := range []string{
		"", "--version", "-h", "--root", "--new-option create id", "create", "create a b", "create --bundle",
		"create --new-option id", "create ../id", "create .", "create --no-pivot=maybe id", "delete --forced id",
	} {
		if got, err := parseArgs(strings.Fields(line)); err == nil {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func FuzzParseArgs(f *testing.F) {
	f.Add("--root\x00/r\x00create\x00--bundle=/b\x00id")
	f.Add("delete\x00--force\x00id")
	f.Add("")
	f.Add("checkpoint\x00--\x00id")
	f.Fuzz(func(t *testing.T, line string) {
		got, err := parseArgs(strings.Split(line, "\x00"))
		if err != nil {
			return
		}
		if got.Command == "" {
			t.Fatal("no command and no error")
		}
		if _, known := commandOptions(got.Command); known && !validID(got.ID) {
			t.Fatalf("id %q", got.ID)
		}
		if strings.ContainsAny(got.ID, "/\x00") {
			t.Fatalf("id %q", got.ID)
		}
	})
}
