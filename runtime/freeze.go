package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// freezeMark stands in the folder that containerd named, in place of the images. It ends up in the archive that the
	// kubelet writes, and tells the agent which folder of images belongs to it. Its form is that of a CRIU image, so that
	// whoever reads the archive takes it for one more of them.
	freezeMark = "ksnap-freeze.img"
	// freezeWait is how long the agent may take to say where to: the container is not frozen yet, but somebody waits.
	freezeWait = time.Second
)

type freezeRequest struct {
	Version     int    `json:"version"`
	Op          string `json:"op"`
	ContainerID string `json:"container_id"`
}

type freezeAnswer struct {
	// Path is an empty folder of the agent's, or nothing if it asked for no dump of this container.
	Path string `json:"path"`
	Mark string `json:"mark"`
}

// enterFreeze has CRIU write its images into the agent's folder, if it is the agent that asked the kubelet for this dump:
// containerd copies what lies in its own folder three times, and the kubelet's archive is one copy more. It returns only
// where it is a checkpoint like any other.
func enterFreeze(node Node, invocation Invocation) {
	if !divertible(invocation) {
		return
	}
	answer, err := Agent{Socket: node.Socket}.Freeze(invocation.ID)
	if err != nil || answer.Path == "" {
		return // an agent that is away, or of a former version, asked for nothing
	}
	if err := divert(node, invocation, answer); err != nil {
		invocation.writeLog(levelWarning, fmt.Errorf("freeze: %w", err))
	}
}

// divertible says whether it is a whole dump of a process that lives on: all that the agent asks for.
func divertible(invocation Invocation) bool {
	if _, there := value(invocation.Options, "leave-running"); !there {
		return false
	}
	for _, other := range []string{"pre-dump", "parent-path", "page-server", "lazy-pages", "auto-dedup"} {
		if _, there := value(invocation.Options, other); there {
			return false
		}
	}
	path, there := value(invocation.Options, "image-path")
	return there && filepath.IsAbs(path)
}

// Freeze asks whether this dump is one of the agent's, and where its images are to go.
func (agent Agent) Freeze(id string) (freezeAnswer, error) {
	var answer freezeAnswer
	request := freezeRequest{Version: protocolVersion, Op: "freeze", ContainerID: id}
	err := agent.call(time.Now().Add(freezeWait), request, &answer)
	return answer, err
}

// divert leaves the mark and becomes a runc that writes into the agent's folder.
func divert(node Node, invocation Invocation, answer freezeAnswer) error {
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(answer.Mark) {
		return fmt.Errorf("the agent's mark has no form: %.64q", answer.Mark)
	}
	if err := checkFreezeFolder(answer.Path); err != nil {
		return err
	}
	runc, err := node.findRunc()
	if err != nil {
		return err
	}
	named, _ := value(invocation.Options, "image-path")
	mark := filepath.Join(named, freezeMark)
	if err := os.MkdirAll(named, 0o700); err != nil {
		return err
	}
	if err := writeWhole(mark, []byte(answer.Mark), 0o600); err != nil {
		return err
	}
	err = syscall.Exec(runc, append([]string{runc}, invocation.argsWith("image-path", answer.Path)...), os.Environ())
	// Still here: it goes on as if nothing had been asked, and a mark would tell of images that are not there.
	_ = os.Remove(mark)
	return fmt.Errorf("enter %s: %w", runc, err)
}

// checkFreezeFolder refuses what is not an empty folder of root's alone.
func checkFreezeFolder(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("the agent named no folder: %.200q", path)
	}
	var found unix.Stat_t
	if err := unix.Lstat(path, &found); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if found.Mode&unix.S_IFMT != unix.S_IFDIR || found.Uid != 0 || found.Mode&0o077 != 0 {
		return fmt.Errorf("%s is no folder of root's alone", path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty", path)
	}
	return nil
}

// argsWith is the command line again, with one option changed.
func (invocation Invocation) argsWith(name, changed string) []string {
	write := func(args []string, options []Option) []string {
		for _, option := range options {
			switch {
			case option.Name == name:
				args = append(args, "--"+name+"="+changed)
			case option.Value == "":
				args = append(args, "--"+option.Name)
			default:
				args = append(args, "--"+option.Name+"="+option.Value)
			}
		}
		return args
	}
	args := write(nil, invocation.Global)
	args = write(append(args, invocation.Command), invocation.Options)
	return append(args, invocation.ID)
}
