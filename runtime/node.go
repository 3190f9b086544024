package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultSocket   = "/run/ksnap/restore.sock"
	defaultState    = "/run/ksnap/runtime"
	defaultDeadline = 30 * time.Second
)

// Node is what the node's set-up wrote into `<binary>.json` beside the binary; the file and each of its fields may be
// absent.
type Node struct {
	Runc     string
	Socket   string
	State    string
	Deadline time.Duration
}

// loadNode never fails: an unreadable file means the defaults, since the container must start either way.
func loadNode() Node {
	self, err := os.Executable()
	if err != nil {
		self = ""
	}
	data, err := os.ReadFile(self + ".json")
	if err != nil {
		data = nil
	}
	return parseNode(data)
}

func parseNode(data []byte) Node {
	node := Node{Socket: defaultSocket, State: defaultState, Deadline: defaultDeadline}
	var file struct {
		Runc       string `json:"runc"`
		Socket     string `json:"socket"`
		State      string `json:"state"`
		DeadlineMS int64  `json:"deadline_ms"`
	}
	if len(data) == 0 || json.Unmarshal(data, &file) != nil {
		return node
	}
	node.Runc = file.Runc
	if filepath.IsAbs(file.Socket) {
		node.Socket = file.Socket
	}
	if filepath.IsAbs(file.State) {
		node.State = file.State
	}
	if file.DeadlineMS > 0 && file.DeadlineMS <= int64(time.Hour/time.Millisecond) {
		node.Deadline = time.Duration(file.DeadlineMS) * time.Millisecond
	}
	return node
}

// findRunc is the real runc: the configured one, else the first in PATH and then in the usual folders. The wrapper may
// itself be called runc and stand in PATH; it must not find itself, or it would enter itself for ever.
func (node Node) findRunc() (string, error) {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		self = nil
	}
	candidates := []string{node.Runc}
	for _, folder := range append(filepath.SplitList(os.Getenv("PATH")),
		"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin") {
		candidates = append(candidates, filepath.Join(folder, "runc"))
	}
	for _, path := range candidates {
		if !filepath.IsAbs(path) {
			continue
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		if self != nil && os.SameFile(self, info) {
			continue
		}
		return path, nil
	}
	return "", errors.New("no runc in PATH, /usr/local/sbin, /usr/local/bin, /usr/sbin or /usr/bin")
}

// enterRunc becomes the real runc, with the arguments as they came. It returns only on failure.
func (node Node) enterRunc(argv []string) error {
	path, err := node.findRunc()
	if err != nil {
		return err
	}
	err = syscall.Exec(path, append([]string{path}, argv[1:]...), os.Environ())
	return fmt.Errorf("enter %s: %w", path, err)
}

// criuInPath says whether runc will find criu: runc looks for it by name.
func criuInPath() bool {
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		if strings.HasPrefix(folder, "/") && unix.Access(filepath.Join(folder, "criu"), unix.X_OK) == nil {
			return true
		}
	}
	return false
}
