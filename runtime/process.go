package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processStart is when a process began, in clock ticks since boot, and whether it lives (proc_pid_stat(5)).
func processStart(pid int) (ticks uint64, alive bool) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, false
	}
	// The second field is the program's name in brackets, and may itself hold blanks and brackets.
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return 0, false
	}
	rest := strings.Fields(string(data[end+1:]))
	if len(rest) < 20 || rest[0] == "Z" || rest[0] == "X" {
		return 0, false
	}
	ticks, err = strconv.ParseUint(rest[19], 10, 64)
	return ticks, err == nil
}

// sinceBoot is the time since the node's boot, with the time that it slept (clock_gettime(2)).
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// inCgroupOf says whether /proc/PID/cgroup (cgroups(7)) names a cgroup of the container: the last folder of its path is
// the id (cgroupfs) or `<prefix>-<id>.scope` (systemd), and a process may sit in a folder below.
func inCgroupOf(cgroups, id string) bool {
	for line := range strings.SplitSeq(cgroups, "\n") {
		_, path, ok := strings.Cut(strings.TrimLeft(line, "0123456789"), ":")
		if !ok {
			continue
		}
		_, path, _ = strings.Cut(path, ":")
		for folder := range strings.SplitSeq(path, "/") {
			if folder == id || strings.HasSuffix(folder, "-"+id+".scope") {
				return true
			}
		}
	}
	return false
}

// killLeftovers ends what a killed restore left in the container's cgroup: processes that CRIU had already made, and
// CRIU itself. runc does not know them, since it writes the container's state at the end of a restore. They are reaped
// by the shim, which is the subreaper of all of this.
func killLeftovers(ctx context.Context, id string) error {
	for {
		found := 0
		folders, err := os.ReadDir("/proc")
		if err != nil {
			return fmt.Errorf("processes: %w", err)
		}
		for _, folder := range folders {
			pid, err := strconv.Atoi(folder.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			cgroups, err := os.ReadFile(filepath.Join("/proc", folder.Name(), "cgroup"))
			if err != nil || !inCgroupOf(string(cgroups), id) {
				continue
			}
			if _, alive := processStart(pid); !alive {
				continue
			}
			found++
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if found == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d processes of the failed restore do not end", found)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
