package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// selfTestCommand is no command of runc's. The node's set-up calls it, and a person may: it prints one line of JSON.
	selfTestCommand = "ksnap-self-test"
	// selfTestGuest is what the tiny container runs: this very program, which then sleeps.
	selfTestGuest = "ksnap-self-test-guest"
	// guestPath is where it lies in the container.
	guestPath     = "/guest"
	selfTestLimit = 60 * time.Second
	// selfTestTries: a node loses the engine by what is found here, so one bad moment must not decide it.
	selfTestTries    = 3
	selfTestLogTail  = 400
	selfTestErrors   = 5
	guestLookPause   = 10 * time.Millisecond
	selfTestTryPause = time.Second
)

// SelfTest is what the test found. Reason is empty if it worked.
type SelfTest struct {
	Works  bool   `json:"works"`
	Reason string `json:"reason,omitempty"`
	TookMS int64  `json:"took_ms"`
}

// selfTest freezes a tiny container by this node's runc and CRIU, with the options that ksnap-runc gives them, and
// restores it. Nothing is left of it; exit code 1 if it did not work.
func selfTest(node Node) int {
	ctx, cancel := context.WithTimeout(context.Background(), selfTestLimit)
	defer cancel()
	begun := time.Now()
	err := tryToFreezeAndRestore(ctx, node)
	result := SelfTest{Works: err == nil, TookMS: time.Since(begun).Milliseconds()}
	if err != nil {
		result.Reason = err.Error()
	}
	line, err := json.Marshal(result)
	if err != nil {
		return 1
	}
	fmt.Println(string(line))
	if !result.Works {
		return 1
	}
	return 0
}

func tryToFreezeAndRestore(ctx context.Context, node Node) error {
	runc, err := node.findRunc()
	if err != nil {
		return err
	}
	if !criuInPath() {
		return errors.New("no criu in PATH")
	}
	for try := 1; ; try++ {
		err := freezeAndRestore(ctx, runc)
		if err == nil || try == selfTestTries || ctx.Err() != nil {
			return err
		}
		time.Sleep(selfTestTryPause)
	}
}

func freezeAndRestore(ctx context.Context, runc string) (err error) {
	folder, err := os.MkdirTemp("/run", "ksnap-self-test-")
	if err != nil {
		return fmt.Errorf("work folder: %w", err)
	}
	test := tinyContainer{runc: runc, folder: folder, id: filepath.Base(folder)}
	defer func() { err = errors.Join(err, test.remove()) }()
	if err := test.prepare(); err != nil {
		return err
	}
	images := "--image-path=" + test.path("images")
	work := "--work-path=" + test.path("work")
	bundle := "--bundle=" + folder
	if err := test.run(ctx, "run", "--detach", "--pid-file="+test.path("pid"), bundle, test.id); err != nil {
		return err
	}
	if err := test.isUp(ctx); err != nil {
		return err
	}
	if err := test.run(ctx, "checkpoint", images, work, test.id); err != nil {
		return err
	}
	if err := test.run(ctx, "restore", "--detach", images, work, bundle, test.id); err != nil {
		return err
	}
	return test.isRunning(ctx)
}

// tinyContainer is a bundle whose root file system holds this program and nothing else.
type tinyContainer struct {
	runc   string
	folder string
	id     string
}

func (test tinyContainer) path(name string) string { return filepath.Join(test.folder, name) }

func (test tinyContainer) prepare() error {
	// CRIU changes roots by way of /tmp, or makes a folder beside it, which a read-only root does not allow.
	for _, name := range []string{"rootfs/proc", "rootfs/dev", "rootfs/tmp", "images", "work"} {
		if err := os.MkdirAll(test.path(name), 0o700); err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
	}
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("own program: %w", err)
	}
	if err := os.WriteFile(test.path("rootfs"+guestPath), program, 0o500); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	if err := writeCriuConfig(test.path(criuConfigFile), false); err != nil {
		return err
	}
	config, err := json.Marshal(test.spec())
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return writeWhole(test.path("config.json"), config, 0o600)
}

func (test tinyContainer) spec() specs.Spec {
	spaces := []specs.LinuxNamespaceType{specs.PIDNamespace, specs.MountNamespace, specs.IPCNamespace, specs.UTSNamespace,
		specs.NetworkNamespace}
	namespaces := make([]specs.LinuxNamespace, 0, len(spaces))
	for _, each := range spaces {
		namespaces = append(namespaces, specs.LinuxNamespace{Type: each})
	}
	return specs.Spec{
		Version:     "1.0.2",
		Annotations: map[string]string{"org.criu.config": test.path(criuConfigFile)},
		Process:     &specs.Process{Args: []string{guestPath, selfTestGuest}, Cwd: "/", NoNewPrivileges: true},
		Root:        &specs.Root{Path: "rootfs", Readonly: true},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755", "size=64k"}},
		},
		Linux: &specs.Linux{Namespaces: namespaces},
	}
}

// run calls runc. A detached container keeps its caller's output, so that is nothing, and runc's words go to a log.
func (test tinyContainer) run(ctx context.Context, args ...string) error {
	log := test.path("runc.log")
	command := exec.CommandContext(ctx, test.runc, append([]string{"--root=" + test.path("state"), "--log=" + log}, args...)...)
	if err := command.Run(); err != nil {
		said := []string{fmt.Sprintf("runc %s: %v", args[0], err), readTail(log, 1)}
		for _, name := range []string{"dump.log", restoreLogFile} {
			said = append(said, firstErrors(readTail(filepath.Join(test.path("work"), name), selfTestLogTail), selfTestErrors))
		}
		return errors.New(strings.TrimSpace(strings.Join(said, "\n")))
	}
	return nil
}

// isUp waits until the guest is what runs, and has come to its sleep: `runc run` returns while its own init, with threads
// that vanish at that moment, is still about to become the guest, and CRIU stumbles over that.
func (test tinyContainer) isUp(ctx context.Context) error {
	data, err := os.ReadFile(test.path("pid"))
	if err != nil {
		return fmt.Errorf("runc run: %w", err)
	}
	process := filepath.Join("/proc", strings.TrimSpace(string(data)))
	for {
		program, err := os.Readlink(filepath.Join(process, "exe"))
		if err != nil {
			return fmt.Errorf("the container's process is gone: %w", err)
		}
		if program == guestPath && isAsleep(process) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the container's process did not come up: %w", ctx.Err())
		case <-time.After(guestLookPause):
		}
	}
}

// isAsleep reads the state out of /proc/PID/stat (proc(5)); it stands behind the program's name, which may hold anything.
func isAsleep(process string) bool {
	stat, err := os.ReadFile(filepath.Join(process, "stat"))
	if err != nil {
		return false
	}
	_, after, found := strings.Cut(string(stat), ") ")
	return found && strings.HasPrefix(after, "S")
}

func (test tinyContainer) isRunning(ctx context.Context) error {
	output, err := exec.CommandContext(ctx, test.runc, "--root="+test.path("state"), "state", test.id).Output()
	if err != nil {
		return fmt.Errorf("runc state: %w", err)
	}
	var state specs.State
	if err := json.Unmarshal(output, &state); err != nil {
		return fmt.Errorf("runc state: %w", err)
	}
	if state.Status != specs.StateRunning {
		return errors.New("the restored container is " + string(state.Status) + ", pid " + strconv.Itoa(state.Pid))
	}
	return nil
}

// remove ends the container, whatever it came to. A folder that mounts may still be below is left for a person to see.
func (test tinyContainer) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), selfTestLimit)
	defer cancel()
	if entries, err := os.ReadDir(test.path("state")); err == nil && len(entries) > 0 {
		if err := test.run(ctx, "delete", "--force", test.id); err != nil {
			return err
		}
	}
	return os.RemoveAll(test.folder)
}
