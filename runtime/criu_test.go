package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestRestoreReason(t *testing.T) {
	for line, want := range map[string]Reason{
		"(00.01) Error (criu/arch/x86/cpu.c:1): cpu: CPU instruction capabilities do not match run time":             CPUMismatch,
		"(00.01) Error (criu/arch/x86/cpu.c:1): cpu: FPU feature required by image is not supported on host (fpu:1)": CPUMismatch,
		"(00.01) Error (criu/arch/x86/crtools.c:1): x86: FPU xsave area present, but host cpu doesn't support it":    CPUMismatch,
		"(00.01) Error (criu/files-reg.c:9): Can't write: No space left on device":                                   DiskFull,
		"(00.01) cpu: CPU features are fine":               RestoreFailed,
		"(00.01) Error (criu/mount.c:1): mnt: Can't mount": RestoreFailed,
	} {
		if got := restoreReason("criu failed: type NOTIFY errno 0", "(00.00) begin\n"+line+"\n"); got != want {
			t.Errorf("%s: %s", line, got)
		}
	}
	for said, want := range map[string]Reason{
		`CRIU version check failed: exec: "criu": executable file not found in $PATH`: CriuMissing,
		"mkdir /run/x: no space left on device":                                       DiskFull,
		"something else":                                                              RestoreFailed,
	} {
		if got := restoreReason(said, ""); got != want {
			t.Errorf("%s: %s", said, got)
		}
	}
}

func TestReadTail(t *testing.T) {
	var lines []string
	for number := range 9000 {
		lines = append(lines, fmt.Sprintf("line %d", number))
	}
	path := write(t, filepath.Join(t.TempDir(), "log"), strings.Join(lines, "\n")+"\n")
	if got := readTail(path, 2); got != "line 8998\nline 8999" {
		t.Fatalf("%q", got)
	}
	if got := readTail(path+"x", 2); got != "" {
		t.Fatalf("%q", got)
	}
}

func TestCriuConfigClosesConnectionsUnlessTheyAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "work", "criu.conf")
	if err := writeCriuConfig(path, false); err != nil {
		t.Fatal(err)
	}
	if text := read(t, path); !strings.HasSuffix(text, "tcp-close\nnetwork-lock skip\nskip-in-flight\nfile-locks\nlink-remap\nghost-limit 1G\n") {
		t.Fatal(text)
	}
	if err := writeCriuConfig(path, true); err != nil {
		t.Fatal(err)
	}
	if text := read(t, path); strings.Contains(text, "tcp-close") || strings.Contains(text, "network-lock") {
		t.Fatal(text)
	}
}

func TestCriuConfigOfIsOursOnly(t *testing.T) {
	for config, want := range map[string]string{
		`{"config": {"labels": ["a=b", "bundle=/b", "org.criu.config=/b/ksnap-work/criu.conf"]}}`: "/b/ksnap-work/criu.conf",
		`{"config": {"labels": ["org.criu.config=/etc/criu/other.conf"]}}`:                        "",
		`{"config": {"labels": ["org.criu.config=ksnap-work/criu.conf"]}}`:                        "",
		`{"config": {}}`: "",
		`garbage`:        "",
	} {
		if got := criuConfigOf(write(t, filepath.Join(t.TempDir(), "state.json"), config)); got != want {
			t.Errorf("%s: %s", config, got)
		}
	}
}

func TestFirstErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "restore.log")
	noise := strings.Repeat("(1.3)     5: Parsed 7f4b065cf000-7f4b0a750000 vma\n", 10_000)
	write(t, path, "(1.1) 4: Parsed\n(1.2)     4: Error (criu/a.c:1): missing\n"+noise+"(1.4) Error (criu/b.c:2): FAILED\n")
	missing, failed := "(1.2)     4: Error (criu/a.c:1): missing", "(1.4) Error (criu/b.c:2): FAILED"
	if got, want := firstErrors(path, 8), missing+"\n"+failed; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := firstErrors(path, 1); got != missing {
		t.Errorf("got %q, want %q", got, missing)
	}
	if got := firstErrors(path+"x", 8); got != "" {
		t.Errorf("got %q", got)
	}
}
