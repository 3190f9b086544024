package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	restoreRuncLog = "restore-runc.json"
	deleteRuncLog  = "delete-runc.json"
	// cleanUpTime is for taking a failed restore away; it begins when the restore's own time is over.
	cleanUpTime = 10 * time.Second
	killTime    = 2 * time.Second
)

// Restore is one `runc restore` and what it takes to be rid of it again.
type Restore struct {
	runc       string
	invocation Invocation
	bundle     *Bundle
	rootfs     string
	// network is the pod's network namespace.
	network string
	pidFile string
	// marker says that a restore is under way, see markerPath.
	marker string
}

// restoreArgs are the arguments of `runc restore` (runc 1.3, restore.go), made of those of the `create` that it stands
// for. runc's log goes to a file of its own: an error in the shim's would be shown for a container that then starts
// cold. --no-new-keyring has no counterpart: CRIU makes no keyring. The labels and the id come after these.
func restoreArgs(invocation Invocation, bundle *Bundle, images, pidFile, console string) []string {
	args := globalArgs(invocation, filepath.Join(bundle.work(), restoreRuncLog))
	args = append(args, "restore", "--detach", "--no-subreaper",
		"--bundle", bundle.Path,
		"--image-path", images,
		"--work-path", bundle.work(),
		"--pid-file", pidFile,
		// cgroups are the new pod's: CRIU sets properties of those only that it has made itself.
		"--manage-cgroups-mode", "soft",
		"--file-locks")
	if console != "" {
		args = append(args, "--console-socket", console)
	}
	if _, ok := value(invocation.Options, "no-pivot"); ok {
		args = append(args, "--no-pivot")
	}
	return args
}

// lsmArgs give the process the new container's label. A SELinux label differs from pod to pod. An AppArmor profile is
// named only where it differs; where the new container has none, the process keeps the one that it had.
func lsmArgs(frozen, wanted *specs.Spec) []string {
	var args []string
	switch process := wanted.Process; {
	case process.SelinuxLabel != "":
		args = append(args, "--lsm-profile", "selinux:"+process.SelinuxLabel)
	case process.ApparmorProfile != "" && process.ApparmorProfile != "unconfined" &&
		process.ApparmorProfile != frozen.Process.ApparmorProfile:
		args = append(args, "--lsm-profile", "apparmor:"+process.ApparmorProfile)
	}
	if wanted.Linux.MountLabel != "" {
		args = append(args, "--lsm-mount-context", wanted.Linux.MountLabel)
	}
	return args
}

// globalArgs are the program's own options as they came, with another log.
func globalArgs(invocation Invocation, log string) []string {
	var args []string
	for _, option := range invocation.Global {
		switch option.Name {
		case "log", "log-format", "criu":
		case "debug", "systemd-cgroup":
			args = append(args, "--"+option.Name)
		default:
			args = append(args, "--"+option.Name, option.Value)
		}
	}
	return append(args, "--log", log, "--log-format", "json")
}

// run restores. The container's process becomes runc's child and, when runc ends, the shim's, which is the next
// subreaper above; so the wrapper must not be one.
func (restore *Restore) run(ctx context.Context, args []string) error {
	// The kernel sends the death signal when the thread ends that started the child, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command := exec.Command(restore.runc, args...)
	// The container inherits them: its output goes where the shim wants the new pod's.
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	interrupted := Interrupted{Rootfs: restore.rootfs, Work: restore.bundle.work(), Network: restore.network}
	if err := interrupted.write(restore.marker); err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("runc restore: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return restore.explain(err)
		}
		return nil
	case <-ctx.Done():
		// Not runc alone: CRIU is in the same group.
		_ = unix.Kill(-command.Process.Pid, unix.SIGKILL)
		select {
		case <-ended:
		case <-time.After(killTime):
			// It hangs in the kernel. What it left is looked for by cgroup and mount.
		}
		return refuse(DeadlineExceeded, "runc restore did not end in time%s", restore.quoteEnd())
	}
}

// explain says why runc restore failed, in runc's words and CRIU's.
func (restore *Restore) explain(err error) error {
	said := lastLogError(filepath.Join(restore.bundle.work(), restoreRuncLog))
	if said == "" {
		said = err.Error()
	}
	criuErrors := firstErrors(filepath.Join(restore.bundle.work(), restoreLogFile), 100)
	return refuse(restoreReason(said, criuErrors), "runc restore: %s%s", said, restore.quoteLog())
}

// quoteLog is what CRIU says of its failure: its first errors, since the later ones follow from them; without an error,
// how its log ends.
func (restore *Restore) quoteLog() string {
	path := filepath.Join(restore.bundle.work(), restoreLogFile)
	if said := firstErrors(path, 8); said != "" {
		return "\n" + said
	}
	return restore.quoteEnd()
}

// quoteEnd is how CRIU's log ends: where a restore stands that does not.
func (restore *Restore) quoteEnd() string {
	if said := readTail(filepath.Join(restore.bundle.work(), restoreLogFile), 20); said != "" {
		return "\n" + said
	}
	return ""
}

// lastLogError is the last error in a log of runc's.
func lastLogError(path string) string {
	said := ""
	for line := range strings.SplitSeq(readTail(path, 1000), "\n") {
		var entry logEntry
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == levelError {
			said = strings.TrimSpace(entry.Msg)
		}
	}
	return said
}

// pid is the restored process.
func (restore *Restore) pid() (int, error) {
	data, err := readLimited(restore.pidFile, 64)
	if err != nil {
		return 0, fmt.Errorf("pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("pid file: %.50q", data)
	}
	return pid, nil
}

// remove takes away all that a restore may have left, whether it failed, was killed, or succeeded and is not wanted.
// The order matters: no process may hold the mounts, and no mount may be there when runc removes its folder.
func (restore *Restore) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpTime)
	defer cancel()
	state, err := stateFolder(restore.invocation)
	if err != nil {
		return err
	}
	if err := killLeftovers(ctx, restore.invocation.ID); err != nil {
		return err
	}
	if err := unmountBelow(state, restore.rootfs, restore.bundle.work()); err != nil {
		return err
	}
	if err := restore.delete(ctx, state); err != nil {
		return err
	}
	if err := unlockNetwork(ctx, restore.network); err != nil {
		return err
	}
	// runc makes the pid file aside, and does not make it where one is left.
	aside := filepath.Join(filepath.Dir(restore.pidFile), "."+filepath.Base(restore.pidFile))
	for _, path := range []string{restore.pidFile, aside} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("pid file: %w", err)
		}
	}
	return nil
}

// delete has runc remove the container, until its state is gone: a cgroup may need a moment to become empty.
func (restore *Restore) delete(ctx context.Context, state string) error {
	args := append(globalArgs(restore.invocation, filepath.Join(restore.bundle.work(), deleteRuncLog)),
		"delete", "--force", restore.invocation.ID)
	for {
		output, err := exec.CommandContext(ctx, restore.runc, args...).CombinedOutput()
		if _, statErr := os.Lstat(state); errors.Is(statErr, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("runc delete left %s (%v): %.500s", state, err, output)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// settle forgets how the restore was done. The bundle lies in memory, and the log of a success can be some hundred
// kilobytes.
func (restore *Restore) settle() {
	_ = os.Remove(restore.marker)
	_ = os.Remove(filepath.Join(restore.bundle.work(), restoreLogFile))
	_ = os.RemoveAll(filepath.Join(restore.bundle.work(), imagesFolder))
}
