package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRecordIsTheContracts(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	record := Record{
		Version: 1, Identity: Identity{ContainerID: "abc", Namespace: "ns", Image: "i"}, Restored: true, PID: 7,
		At: atTime(time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)), Durations: Durations{1, 2, 3, 6},
	}
	if err := record.write(state); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(state, "abc.json")
	want := `{"version":1,"container_id":"abc","sandbox_id":"","namespace":"ns","pod":"","pod_uid":"","container":"","image":"i",` +
		`"restored":true,"reason":"","message":"","pid":7,"start_ticks":0,"at":"2026-01-02T03:04:05.006Z","boot_ms":0,` +
		`"prepare_ms":1,"apply_ms":2,"criu_ms":3,"total_ms":6}` + "\n"
	if text := read(t, path); text != want {
		t.Fatal(text)
	}
	for path, want := range map[string]os.FileMode{path: 0o600, state: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Error(path, info.Mode(), err)
		}
	}
	if got, ok := readRecord(state, "abc"); !ok || got != record {
		t.Fatal(got, ok)
	}
	for range 2 {
		if err := removeRecord(state, "abc"); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := readRecord(state, "abc"); ok {
		t.Fatal("it was removed")
	}
}

func TestRecordOfAnotherContainerOrNoneCountsAsNone(t *testing.T) {
	state := t.TempDir()
	write(t, filepath.Join(state, "a.json"), `{"container_id": "b", "restored": true}`)
	write(t, filepath.Join(state, "c.json"), `garbage`)
	for _, id := range []string{"a", "c", "d"} {
		if _, ok := readRecord(state, id); ok {
			t.Error(id)
		}
	}
}

func TestStartDoesNothingOnlyForALivingRestoredProcess(t *testing.T) {
	node := Node{State: t.TempDir()}
	ticks, alive := processStart(os.Getpid())
	if !alive || ticks == 0 {
		t.Fatal(ticks, alive)
	}
	for name, entry := range map[string]struct {
		record Record
		want   bool
	}{
		"alive":            {Record{Restored: true, PID: os.Getpid(), StartTicks: ticks}, true},
		"cold":             {Record{PID: os.Getpid(), StartTicks: ticks}, false},
		"another's number": {Record{Restored: true, PID: os.Getpid(), StartTicks: ticks + 1}, false},
		"gone":             {Record{Restored: true, PID: 1 << 22, StartTicks: ticks}, false},
		"no process":       {Record{Restored: true}, false},
	} {
		entry.record.ContainerID = "x"
		if err := entry.record.write(node.State); err != nil {
			t.Fatal(err)
		}
		if got := startedByRestore(node, Invocation{ID: "x"}); got != entry.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if startedByRestore(node, Invocation{ID: "unknown"}) {
		t.Error("a container without a record is runc's")
	}
}

func TestShortenKeepsTheEndAndWholeCharacters(t *testing.T) {
	if got := shorten("aé"+strings.Repeat("x", 9), 10); got != strings.Repeat("x", 9) {
		t.Fatalf("%q", got)
	}
}
