package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMain lets the test's own binary be the wrapper, and the programs that the wrapper is tried on: under their names
// it is nothing else.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "ksnap-runc":
		main()
	case "guest":
		guest()
	case "pause":
		pause()
	}
	os.Exit(m.Run())
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func reasonIs(t *testing.T, err error, want Reason) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", want)
	}
	if got := reasonOf(err, "none"); got != want {
		t.Fatalf("reason %s (%v), want %s", got, err, want)
	}
}
