package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The pods of e2e_test.go: a bundle for the guest as containerd's shim makes one, and what is done with both.

func needRuncAndCriu(t *testing.T) {
	t.Helper()
	needRoot(t)
	for _, program := range []string{"runc", "criu"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s in PATH: a restore cannot be tried here", program)
		}
	}
}

// pod is one container's place: a bundle, an overlay, a network namespace, a volume.
type pod struct {
	t       *testing.T
	wrapper string
	root    string
	state   string
	id      string
	bundle  string
	upper   string
	network string
	uts     string
	lines   *bufio.Reader
	out     *os.File
}

func newPod(t *testing.T, name string, annotations map[string]string, socket string, deadline time.Duration, terminal bool,
	changes ...func(config map[string]any)) *pod {
	t.Helper()
	folder := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &pod{t: t, root: filepath.Join(folder, "runc"), state: filepath.Join(folder, "state"), bundle: filepath.Join(folder, "bundle"),
		wrapper: filepath.Join(folder, "ksnap-runc"), id: fmt.Sprintf("ksnap-e2e-%s-%d", name, time.Now().UnixNano())}
	copyFile(t, self, p.wrapper)
	write(t, p.wrapper+".json", fmt.Sprintf(`{"socket": %q, "state": %q, "deadline_ms": %d}`, socket, p.state, deadline.Milliseconds()))

	base := filepath.Join(folder, "snapshots")
	if err := os.MkdirAll(base, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", base, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	for _, below := range []string{"snapshots/1/fs/proc", "snapshots/1/fs/dev", "snapshots/1/fs/volume", "snapshots/1/fs/sys", "snapshots/2/fs", "snapshots/3/fs", "snapshots/3/work", "bundle/rootfs", "volume"} {
		if err := os.MkdirAll(filepath.Join(folder, below), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(t, self, filepath.Join(base, "1/fs/guest"))
	write(t, filepath.Join(base, "2/fs/gone/file"), "the image's")
	write(t, filepath.Join(folder, "volume", "name"), name)
	p.upper = filepath.Join(base, "3/fs")
	rootfs := filepath.Join(p.bundle, "rootfs")
	if err := mountFrom(base, "overlay", rootfs, 0, fmt.Sprintf("lowerdir=2/fs:1/fs,upperdir=%s,workdir=%s/3/work", p.upper, base)); err != nil {
		t.Skipf("no overlay here: %v", err)
	}
	t.Cleanup(func() {
		p.run("delete", "--force", p.id)
		_ = unix.Unmount(rootfs, unix.MNT_DETACH)
		_ = unix.Unmount(base, unix.MNT_DETACH)
	})

	network := exec.Command(self, name)
	network.Args[0] = "pause"
	network.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS}
	up, err := network.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := network.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = network.Process.Kill(); _ = network.Wait() })
	if line, err := bufio.NewReader(up).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatal(line, err)
	}

	p.network = fmt.Sprintf("/proc/%d/ns/net", network.Process.Pid)
	p.uts = fmt.Sprintf("/proc/%d/ns/uts", network.Process.Pid)
	capabilities := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL"}
	config := map[string]any{
		"ociVersion": "1.1.0", "annotations": annotations,
		"root": map[string]any{"path": "rootfs"},
		"process": map[string]any{"terminal": terminal, "user": map[string]any{"uid": 0, "gid": 0}, "args": []string{"/guest"}, "cwd": "/",
			"env":          []string{"GODEBUG=asyncpreemptoff=1"},
			"capabilities": map[string]any{"bounding": capabilities, "effective": capabilities, "permitted": capabilities}},
		"mounts": []any{
			map[string]any{"destination": "/proc", "type": "proc", "source": "proc"},
			map[string]any{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755"}},
			map[string]any{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
			map[string]any{"destination": "/volume", "type": "bind", "source": filepath.Join(folder, "volume"), "options": []string{"rbind", "rprivate", "ro"}},
		},
		"linux": map[string]any{
			"cgroupsPath": "/ksnap-e2e/" + p.id, "maskedPaths": []string{"/proc/kcore"}, "readonlyPaths": []string{"/proc/sys"},
			"namespaces": []any{map[string]any{"type": "pid"}, map[string]any{"type": "mount"}, map[string]any{"type": "ipc"},
				map[string]any{"type": "uts", "path": p.uts}, map[string]any{"type": "network", "path": p.network}},
		},
	}
	for _, change := range changes {
		change(config)
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(p.bundle, "config.json"), string(data))
	return p
}

// readOnlyRoot is a container of the quiet guest, with a root that it cannot change.
func readOnlyRoot(config map[string]any) {
	config["root"].(map[string]any)["readonly"] = true
	config["process"].(map[string]any)["args"] = []string{"/guest", "quiet"}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// run calls the wrapper as the shim does; its own output, not the container's.
func (p *pod) run(args ...string) (string, error) {
	args = append([]string{"--root", p.root, "--log", filepath.Join(p.bundle, "log.json"), "--log-format", "json"}, args...)
	output, err := exec.Command(p.wrapper, args...).CombinedOutput()
	return string(output), err
}

// create gives the container a pipe as its output, as the shim does.
func (p *pod) create(more ...string) time.Duration {
	p.t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.out, p.lines = reader, bufio.NewReader(reader)
	args := []string{"--root", p.root, "--log", filepath.Join(p.bundle, "log.json"), "--log-format", "json", "create",
		"--bundle", p.bundle, "--pid-file", filepath.Join(p.bundle, "init.pid")}
	command := exec.Command(p.wrapper, append(append(args, more...), p.id)...)
	command.Stdout, command.Stderr = writer, writer
	began := time.Now()
	err = command.Run()
	took := time.Since(began)
	_ = writer.Close()
	if err != nil {
		p.dump()
		p.t.Fatalf("create: %v", err)
	}
	return took
}

func (p *pod) start() {
	p.t.Helper()
	if output, err := p.run("start", p.id); err != nil {
		p.dump()
		p.t.Fatalf("start: %v %s", err, output)
	}
}

func (p *pod) dump() {
	for _, name := range []string{"log.json", "ksnap-work/restore-runc.json", "ksnap-work/restore.log", "work/dump.log"} {
		if tail := readTail(filepath.Join(p.bundle, name), 30); tail != "" {
			p.t.Logf("%s:\n%s", name, tail)
		}
	}
}

// told is the guest's next line; what CRIU or runc print is passed over.
func (p *pod) told() map[string]string {
	p.t.Helper()
	_ = p.out.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		line, err := p.lines.ReadString('\n')
		if err != nil {
			p.dump()
			p.t.Fatalf("the guest is silent: %q %v", line, err)
		}
		if !strings.HasPrefix(line, "token=") {
			p.t.Logf("output: %s", line)
			continue
		}
		values := map[string]string{}
		for _, field := range strings.Split(strings.TrimSpace(line), " ") {
			if name, text, ok := strings.Cut(field, "="); ok {
				values[name] = text
			}
		}
		return values
	}
}

func (p *pod) record() Record {
	p.t.Helper()
	record, ok := readRecord(p.state, p.id)
	if !ok {
		p.t.Fatal("no record")
	}
	return record
}

// clean says that nothing of a restore is left: no mounts but those of the test, no lock of the network, no marker.
func (p *pod) clean() {
	p.t.Helper()
	mounts, err := readMounts()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, mount := range mounts {
		if below(mount.Point, filepath.Join(p.bundle, "rootfs")) || below(mount.Point, p.root) || below(mount.Point, filepath.Join(p.bundle, workFolder)) {
			p.t.Errorf("%s is mounted", mount.Point)
		}
	}
	rules, err := exec.Command("nsenter", "--net="+p.network, "iptables-save").CombinedOutput()
	if err != nil || strings.Contains(string(rules), "CRIU") {
		p.t.Errorf("the pod's network is locked: %v\n%s", err, rules)
	}
	if left, err := filepath.Glob(filepath.Join(p.state, "*.restoring")); err != nil || len(left) > 0 {
		p.t.Error(left, err)
	}
}

// frozen runs a container cold, freezes it while it runs on, and lays its checkpoint out as the agent unpacks one.
func frozen(t *testing.T, terminal bool) (folder string, last map[string]string) {
	t.Helper()
	return freeze(t, terminal, "")
}

// frozenWith freezes by runc itself with other CRIU options, as a node does for a container outside of the class.
func frozenWith(t *testing.T, options string) (folder string, last map[string]string) {
	t.Helper()
	return freeze(t, false, options)
}

func freeze(t *testing.T, terminal bool, options string, changes ...func(map[string]any)) (folder string, last map[string]string) {
	t.Helper()
	source := newPod(t, "source", container(), "/nowhere", 10*time.Second, terminal, changes...)
	folder = t.TempDir()
	copyFile(t, filepath.Join(source.bundle, "config.json"), filepath.Join(folder, "spec.dump"))
	if terminal {
		source.createWithTerminal()
	} else {
		source.create()
	}
	source.start()
	for range 5 {
		last = source.told()
	}
	program := source.wrapper
	if options != "" {
		program = "runc"
		write(t, filepath.Join(source.bundle, workFolder, criuConfigFile), options)
	}
	output, err := exec.Command(program, "--root", source.root, "checkpoint", "--leave-running", "--image-path",
		filepath.Join(folder, "checkpoint"), "--work-path", filepath.Join(source.bundle, "work"), source.id).CombinedOutput()
	if err != nil {
		source.dump()
		t.Fatalf("checkpoint: %v %s", err, output)
	}
	if after := source.told(); after["token"] != last["token"] || after["connected"] == "false" {
		t.Fatalf("the source lost something: %v, then %v", last, after)
	}
	write(t, filepath.Join(folder, "image.json"), fmt.Sprintf(`{"digest": %q, "architecture": %q}`, digest, runtime.GOARCH))
	write(t, filepath.Join(folder, "config.dump"), `{"runtime": "io.containerd.runc.v2"}`)
	if len(changes) > 0 {
		return folder, last
	}
	made := folderOf("made/", 0o750)
	content, lock := file("made/file", "made"), file("made/lock", "")
	content.header.Mode, lock.header.Mode = 0o640, 0o600
	diff := tarOf(t, file(".wh.gone", ""), made, content, lock)
	if err := os.WriteFile(filepath.Join(folder, "rootfs-diff.tar"), diff, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder, last
}

func folderOf(name string, mode int64) member {
	entry := folder(name)
	entry.header.Mode = mode
	return entry
}

// createWithTerminal takes the terminal as the shim does: one connection to its console socket.
func (p *pod) createWithTerminal() {
	p.t.Helper()
	path := filepath.Join(filepath.Dir(p.bundle), "pty.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		p.t.Fatal(err)
	}
	defer listener.Close()
	p.create("--console-socket", path)
	_ = listener.SetDeadline(time.Now().Add(5 * time.Second))
	connection, err := listener.AcceptUnix()
	if err != nil {
		p.t.Fatal(err)
	}
	defer connection.Close()
	name, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, size, _, _, err := connection.ReadMsgUnix(name, rights)
	if err != nil {
		p.t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:size])
	if err != nil || len(messages) != 1 {
		p.t.Fatal("no terminal", err)
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		p.t.Fatal(err)
	}
	if err := unix.SetNonblock(descriptors[0], true); err != nil {
		p.t.Fatal(err)
	}
	p.out = os.NewFile(uintptr(descriptors[0]), "terminal")
	p.lines = bufio.NewReader(p.out)
}

// asSubreaper makes the test what the shim is: the one that orphans come to.
func asSubreaper(t *testing.T) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}

func wishing() map[string]string {
	return container(restorePrefix+"web", "r/a@"+digest)
}
