package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount is a line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	Root    string
	Point   string
	Options string
	Type    string
	Source  string
	// Super are the file system's own options, still escaped, since a comma inside a value is escaped as well.
	Super string
}

func readMounts() ([]Mount, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("mounts: %w", err)
	}
	return parseMounts(string(data))
}

func parseMounts(text string) ([]Mount, error) {
	var mounts []Mount
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line == "" {
			continue
		}
		// Optional fields end with a dash of their own.
		before, after, ok := strings.Cut(line, " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(head) < 6 || len(tail) < 2 {
			return nil, fmt.Errorf("mounts: the line %.200q is not understood", line)
		}
		mount := Mount{
			Root: unescape(head[3]), Point: unescape(head[4]), Options: head[5],
			Type: unescape(tail[0]), Source: unescape(tail[1]),
		}
		if len(tail) > 2 {
			mount.Super = tail[2]
		}
		mounts = append(mounts, mount)
	}
	return mounts, nil
}

// unescape turns the kernel's `\ooo` back into the characters.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var plain strings.Builder
	for at := 0; at < len(text); at++ {
		if text[at] == '\\' && at+3 < len(text) {
			if code, err := strconv.ParseUint(text[at+1:at+4], 8, 8); err == nil {
				plain.WriteByte(byte(code))
				at += 3
				continue
			}
		}
		plain.WriteByte(text[at])
	}
	return plain.String()
}

// below says whether a path lies in a folder, not being the folder itself.
func below(path, folder string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// unmountBelow takes off all that is mounted below any of the folders. A `runc restore` that was killed leaves a bind
// mount of the root file system in its state folder and the container's volumes bind-mounted in the root file system,
// and CRIU leaves cgroup file systems in its work folder. `runc delete` removes its state folder with all that is in
// it, containerd the bundle; they would empty the volumes.
//
// A folder must be named in full, and not be one of the host's own at the top: an empty name would be all of the host.
func unmountBelow(folders ...string) error {
	for _, folder := range folders {
		if !filepath.IsAbs(folder) || filepath.Clean(folder) != folder || strings.Count(folder, "/") < 2 {
			return fmt.Errorf("unmount below %q: not a container's folder", folder)
		}
	}
	for range 64 {
		mounts, err := readMounts()
		if err != nil {
			return err
		}
		var left []string
		for _, mount := range mounts {
			for _, folder := range folders {
				if below(mount.Point, folder) {
					left = append(left, mount.Point)
					break
				}
			}
		}
		if len(left) == 0 {
			return nil
		}
		// The last one mounted first. A mount that went along with another, or in another namespace, is gone: look again.
		for at := len(left) - 1; at >= 0; at-- {
			err := unix.Unmount(left[at], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
			if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("unmount %s: %w", left[at], err)
			}
		}
	}
	return fmt.Errorf("mounts below %s come back", strings.Join(folders, ", "))
}

// stateFolder is runc's folder of one container.
func stateFolder(invocation Invocation) (string, error) {
	root, err := filepath.Abs(invocation.Root())
	if err != nil {
		return "", fmt.Errorf("--root: %w", err)
	}
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	return filepath.Join(root, invocation.ID), nil
}
