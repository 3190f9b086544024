package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// maxState bounds runc's state.json, which holds the container's configuration again.
	maxState = 16 << 20
	maxPath  = 4096
)

// prepareDelete removes what is ours before runc removes the container. Where a wrapper was killed in the middle of a
// restore, its mounts are taken off first. If that cannot be done, runc must not be entered: it would remove what is
// mounted, volumes among it.
func prepareDelete(node Node, invocation Invocation) (done bool, code int) {
	if record, ok := restoredRecord(node.State, invocation.ID); ok {
		_, force := value(invocation.Options, "force")
		if record.alive() && !force {
			// runc refuses to delete what runs, and it goes on being a restored container.
			return false, 0
		}
		tellEnd(node, record)
	}
	if err := removeRecord(node.State, invocation.ID); err != nil {
		invocation.writeLog(levelWarning, err)
	}
	for _, path := range []string{
		consolePath(node.State, invocation.ID), signalledPath(node.State, invocation.ID), hostNamePath(node.State, invocation.ID),
	} {
		_ = os.Remove(path)
	}
	if err := clearInterrupted(node, invocation); err != nil {
		invocation.writeLog(levelError, fmt.Errorf("delete: %w", err))
		return true, 1
	}
	return false, 0
}

// Interrupted is a file that exists while a restore is under way, and says where it may leave mounts. A wrapper that is
// killed then leaves the file, and `delete` knows that there may be processes and mounts that runc does not know.
type Interrupted struct {
	Rootfs  string `json:"rootfs"`
	Work    string `json:"work"`
	Network string `json:"network"`
}

func markerPath(state, id string) string {
	return filepath.Join(state, id+".restoring")
}

func (interrupted Interrupted) write(path string) error {
	encoded, err := json.Marshal(interrupted)
	if err != nil {
		return err
	}
	return writeWhole(path, encoded, 0o600)
}

// clearInterrupted does what the killed wrapper could not do any more; runc does the rest.
func clearInterrupted(node Node, invocation Invocation) error {
	marker := markerPath(node.State, invocation.ID)
	data, err := readLimited(marker, 4*maxPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var interrupted Interrupted
	if err := json.Unmarshal(data, &interrupted); err != nil {
		return fmt.Errorf("%s: %w", marker, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpTime)
	defer cancel()
	if err := killLeftovers(ctx, invocation.ID); err != nil {
		// runc does not know them, but the mounts are what must not stay.
		invocation.writeLog(levelWarning, err)
	}
	state, err := stateFolder(invocation)
	if err != nil {
		return err
	}
	if err := unmountBelow(state, interrupted.Rootfs, interrupted.Work); err != nil {
		return err
	}
	if err := unlockNetwork(ctx, interrupted.Network); err != nil {
		invocation.writeLog(levelWarning, err)
	}
	return os.Remove(marker)
}

// prepareCheckpoint writes the CRIU options of a container of this class once more, to suit this checkpoint: where the
// caller wants connections kept, they must not be closed. The container itself knows the file since its creation.
func prepareCheckpoint(invocation Invocation) {
	state, err := stateFolder(invocation)
	if err != nil {
		return
	}
	path := criuConfigOf(filepath.Join(state, "state.json"))
	if path == "" {
		return
	}
	_, keep := value(invocation.Options, "tcp-established")
	if err := writeCriuConfig(path, keep); err != nil {
		invocation.writeLog(levelWarning, fmt.Errorf("checkpoint: %w", err))
	}
}

// criuConfigOf is the file that we named at a container's creation, out of runc's state of it; "" where it is not ours.
func criuConfigOf(statePath string) string {
	data, err := readLimited(statePath, maxState)
	if err != nil {
		return ""
	}
	var state struct {
		Config struct {
			Labels []string `json:"labels"`
		} `json:"config"`
	}
	if json.Unmarshal(data, &state) != nil {
		return ""
	}
	for _, label := range state.Config.Labels {
		path, ok := strings.CutPrefix(label, criuConfigKey+"=")
		if ok && filepath.IsAbs(path) && strings.HasSuffix(path, "/"+workFolder+"/"+criuConfigFile) {
			return path
		}
	}
	return ""
}
