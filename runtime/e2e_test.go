package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// These tests run the real runc and CRIU, on bundles as containerd's shim makes them: an overlay as root file system,
// a network namespace that is the pod's, a volume. They need root, both programs, and a kernel that CRIU can work on:
//
//	CGO_ENABLED=0 go test -c -o e2e . && ./e2e -test.run 'TestReal' -test.v
//
// tests/cluster/test_wrapper.py does so on a node. The container's program is this binary under the name `guest`, so it
// must be static.

func needRuncAndCriu(t *testing.T) {
	t.Helper()
	needRoot(t)
	for _, program := range []string{"runc", "criu"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s in PATH: a restore cannot be tried here", program)
		}
	}
}

// guest is what the container runs: it draws a token, keeps a count in memory, changes its root file system, holds a
// TCP connection, a file lock and a deleted open file, and tells all of it every few milliseconds.
func guest() {
	if len(os.Args) > 1 {
		leaveNothing()
	}
	_ = unix.Mkdir("/made", 0o750)
	must(os.WriteFile("/made/file", []byte("made"), 0o640))
	must(os.RemoveAll("/gone"))
	lock, err := os.OpenFile("/made/lock", os.O_CREATE|os.O_RDWR, 0o600)
	must(err)
	must(unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	deleted, err := os.CreateTemp("/made", "deleted")
	must(err)
	must(os.Remove(deleted.Name()))
	_, err = deleted.WriteString("deleted but open")
	must(err)
	// CRIU 4.2 knows no MPTCP, which Go's listeners use where the kernel has it.
	var plain net.ListenConfig
	plain.SetMultipathTCP(false)
	listener, err := plain.Listen(context.Background(), "tcp", "127.0.0.1:0")
	must(err)
	go func() {
		for {
			if connection, err := listener.Accept(); err == nil {
				go func() { _, _ = io.Copy(io.Discard, connection) }()
			}
		}
	}()
	connection, err := net.Dial("tcp", listener.Addr().String())
	must(err)
	_, _, uring := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)
	token := time.Now().UnixNano()
	for count := 0; ; count++ {
		_, writeErr := connection.Write([]byte("x"))
		content := make([]byte, 64)
		size, _ := deleted.ReadAt(content, 0)
		volume, _ := os.ReadFile("/volume/name")
		_, gone := os.Lstat("/gone")
		made, _ := os.ReadFile("/made/file")
		host, _ := os.Hostname()
		fmt.Printf("token=%d count=%d connected=%v uring=%d deleted=%q volume=%s gone=%v made=%s host=%s\n", token, count,
			writeErr == nil, uring, content[:size], volume, errors.Is(gone, os.ErrNotExist), made, host)
		time.Sleep(20 * time.Millisecond)
	}
}

// leaveNothing is a guest that changes no file: what its root holds, and whether it could be written to.
func leaveNothing() {
	token := time.Now().UnixNano()
	for count := 0; ; count++ {
		var names []string
		entries, err := os.ReadDir("/")
		must(err)
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		made := unix.Mkdir("/new", 0o700)
		processes, _ := os.ReadFile("/sys/fs/cgroup/pids/cgroup.procs")
		limit := os.WriteFile("/sys/fs/cgroup/pids/pids.max", []byte("max"), 0)
		fmt.Printf("token=%d count=%d root=%s read-only=%v own=%v limit=%v\n", token, count, strings.Join(names, ","),
			errors.Is(made, unix.EROFS), strings.HasPrefix(string(processes), "1\n"), errors.Is(limit, unix.EROFS))
		time.Sleep(20 * time.Millisecond)
	}
}

// pause holds a pod's network and UTS namespace, with its loopback up and its name.
func pause() {
	must(unix.Sethostname([]byte(os.Args[1])))
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(err)
	request, err := unix.NewIfreq("lo")
	must(err)
	request.SetUint16(unix.IFF_UP)
	must(unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request))
	fmt.Println("up")
	time.Sleep(time.Hour)
}

func must(err error) {
	if err != nil {
		fmt.Println("guest:", err)
		os.Exit(3)
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

func TestRealRestore(t *testing.T) {
	needRuncAndCriu(t)
	if !inPrivateMounts(t) {
		return
	}
	asSubreaper(t)
	image, last := frozen(t, false)
	if last["uring"] != "38" || last["gone"] != "true" || last["volume"] != "source" {
		t.Fatal(last)
	}
	socket, told := agentWith(t, image)
	for range 3 {
		target := newPod(t, "target", wishing(), socket, 20*time.Second, false)
		took := target.create()
		record := target.record()
		if !record.Restored {
			target.dump()
			t.Fatalf("%+v", record)
		}
		target.start()
		first := target.told()
		if first["token"] != last["token"] || first["volume"] != "target" || first["made"] != "made" || first["gone"] != "true" ||
			first["deleted"] != last["deleted"] || first["connected"] != "false" {
			t.Fatalf("frozen %v, restored %v", last, first)
		}
		if output, err := target.run("state", target.id); err != nil || !strings.Contains(output, `"status": "running"`) {
			t.Fatal(output, err)
		}
		target.clean()
		t.Logf("restored in %v: %+v", took, record.Durations)
		// A restored container can be frozen again.
		if output, err := target.run("checkpoint", "--leave-running", "--image-path", filepath.Join(t.TempDir(), "again"),
			"--work-path", filepath.Join(target.bundle, "work"), target.id); err != nil {
			target.dump()
			t.Errorf("checkpoint again: %v %s", err, output)
		}
		<-told
		if outcome := <-told; !strings.Contains(outcome, `"restored":true`) {
			t.Error(outcome)
		}
		if question := <-told; !strings.Contains(question, `"op":"freeze"`) {
			t.Error(question)
		}
		if output, err := target.run("kill", target.id, "KILL"); err != nil {
			t.Error(output, err)
		}
		_, _ = unix.Wait4(record.PID, nil, 0, nil)
		if output, err := target.run("start", target.id); err == nil {
			t.Error("a dead container was started", output)
		}
		if output, err := target.run("delete", target.id); err != nil {
			t.Error(output, err)
		}
		if _, ok := readRecord(target.state, target.id); ok {
			t.Error("the record outlives its container")
		}
		if ended := <-told; !strings.Contains(ended, `"op":"ended"`) || !strings.Contains(ended, `"signalled":true`) {
			t.Error(ended)
		}
	}
}

func TestRealTerminal(t *testing.T) {
	needRuncAndCriu(t)
	if !inPrivateMounts(t) {
		return
	}
	asSubreaper(t)
	image, last := frozen(t, true)
	socket, _ := agentWith(t, image)
	target := newPod(t, "target", wishing(), socket, 20*time.Second, true)
	target.createWithTerminal()
	if record := target.record(); !record.Restored {
		target.dump()
		t.Fatalf("%+v", record)
	}
	target.start()
	if first := target.told(); first["token"] != last["token"] {
		t.Fatal(first)
	}
	// A failed restore leaves the shim's console socket for the cold start.
	if err := os.Remove(filepath.Join(image, "checkpoint", "pagemap-1.img")); err != nil {
		t.Fatal(err)
	}
	cold := newPod(t, "cold", wishing(), socket, 20*time.Second, true)
	cold.createWithTerminal()
	cold.start()
	if first := cold.told(); first["token"] == last["token"] || cold.record().Restored {
		t.Fatal(first)
	}
}

func TestRealFailureStartsColdOnACleanRoot(t *testing.T) {
	needRuncAndCriu(t)
	if !inPrivateMounts(t) {
		return
	}
	asSubreaper(t)
	// As elsewhere, where CRIU locks the network: a failure must open it again, or the guest's connection hangs.
	image, last := frozenWith(t, "tcp-close\nfile-locks\n")
	for _, name := range []string{"pagemap-1.img", "core-1.img", "fdinfo-2.img", "mountpoints-*.img"} {
		files, err := filepath.Glob(filepath.Join(image, "checkpoint", name))
		if err != nil || len(files) == 0 {
			t.Fatal(name, err)
		}
		kept := read(t, files[0])
		write(t, files[0], kept[:len(kept)/2])
		socket, _ := agentWith(t, image)
		target := newPod(t, "target", wishing(), socket, 20*time.Second, false)
		took := target.create()
		record := target.record()
		if record.Restored || record.Reason != RestoreFailed || !strings.Contains(record.Message, "Error") {
			t.Fatalf("%s: %+v", name, record)
		}
		if entries, err := os.ReadDir(filepath.Join(target.upper, "made")); err == nil {
			t.Errorf("%s: the root file system was not taken back: %v", name, entries)
		}
		if _, err := os.Lstat(filepath.Join(target.bundle, "rootfs", "gone", "file")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		target.clean()
		target.start()
		if first := target.told(); first["token"] == last["token"] || first["count"] != "0" || first["volume"] != "target" {
			t.Fatalf("%s: %v", name, first)
		}
		t.Logf("%s: cold in %v: %s", name, took, strings.SplitN(record.Message, "\n", 2)[0])
		write(t, files[0], kept)
	}
}

// At whatever moment the deadline falls, the container is restored or starts cold, and nothing of the other way is left.
func TestRealDeadlineAtAnyMoment(t *testing.T) {
	needRuncAndCriu(t)
	if !inPrivateMounts(t) {
		return
	}
	asSubreaper(t)
	image, last := frozenWith(t, "tcp-close\nfile-locks\n")
	socket, _ := agentWith(t, image)
	restored := 0
	for deadline := 10 * time.Millisecond; deadline < 700*time.Millisecond; deadline = deadline * 5 / 4 {
		target := newPod(t, "target", wishing(), socket, deadline, false)
		took := target.create()
		record := target.record()
		target.start()
		first := target.told()
		for !record.Restored && first["token"] == last["token"] {
			// The deadline fell between CRIU's last step and runc's end: the process had a moment before it was ended.
			first = target.told()
		}
		for range 3 {
			if next := target.told(); next["token"] != first["token"] {
				t.Fatalf("%v: two processes tell: %v, %v", deadline, first, next)
			}
		}
		if record.Restored != (first["token"] == last["token"]) || first["volume"] != "target" {
			t.Fatalf("%v: %+v, %v", deadline, record, first)
		}
		if record.Restored {
			restored++
		} else if record.Reason != DeadlineExceeded {
			t.Errorf("%v: %+v", deadline, record)
		}
		target.clean()
		t.Logf("deadline %v: restored %v in %v (%s)", deadline, record.Restored, took, record.Reason)
	}
	if restored == 0 {
		t.Error("never restored: the machine is too slow for this test")
	}
}

// A wrapper that is killed leaves a restore in the middle; `delete` must take all of it away and leave the volume alone.
func TestRealKilledWrapperIsCleanedUpByDelete(t *testing.T) {
	needRuncAndCriu(t)
	if !inPrivateMounts(t) {
		return
	}
	asSubreaper(t)
	image, _ := frozenWith(t, "tcp-close\nfile-locks\n")
	socket, _ := agentWith(t, image)
	for wait := 20 * time.Millisecond; wait < 400*time.Millisecond; wait = wait * 5 / 4 {
		target := newPod(t, "target", wishing(), socket, 20*time.Second, false)
		command := exec.Command(target.wrapper, "--root", target.root, "create", "--bundle", target.bundle, "--pid-file", filepath.Join(target.bundle, "init.pid"), target.id)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(wait)
		_ = command.Process.Kill()
		_ = command.Wait()
		if output, err := target.run("delete", "--force", target.id); err != nil {
			t.Errorf("%v: delete: %v %s", wait, err, output)
		}
		target.clean()
		if read(t, filepath.Join(filepath.Dir(target.bundle), "volume", "name")) != "target" {
			t.Fatal("the volume was emptied")
		}
		if _, err := os.Lstat(filepath.Join(target.root, target.id)); err == nil {
			t.Errorf("%v: runc's state is left", wait)
		}
	}
}

// withCgroups shows a container its cgroup, as every pod does.
func withCgroups(config map[string]any) {
	readOnlyRoot(config)
	config["mounts"] = append(config["mounts"].([]any),
		map[string]any{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": []string{"nosuid", "noexec", "nodev", "ro"}},
		map[string]any{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
			"options": []string{"nosuid", "noexec", "nodev", "relatime", "ro"}})
}

func TestRealCgroupIsTheContainersOwn(t *testing.T) {
	needRuncAndCriu(t)
	if _, err := os.Stat("/sys/fs/cgroup/pids/cgroup.procs"); err != nil {
		t.Skip("cgroup v1 is not here, and version 2 needs nothing")
	}
	if !inPrivateMounts(t) {
		return
	}
	asSubreaper(t)
	image, last := freeze(t, false, "", withCgroups)
	if last["own"] != "true" || last["limit"] != "true" {
		t.Fatal(last)
	}
	socket, _ := agentWith(t, image)
	target := newPod(t, "target", wishing(), socket, 20*time.Second, false, withCgroups)
	before := read(t, filepath.Join(target.bundle, "config.json"))
	target.create()
	if record := target.record(); !record.Restored {
		target.dump()
		t.Fatalf("%+v", record)
	}
	target.start()
	if first := target.told(); first["token"] != last["token"] || first["own"] != "true" || first["limit"] != "true" {
		t.Fatalf("frozen %v, restored %v", last, first)
	}
	if after := read(t, filepath.Join(target.bundle, "config.json")); after == before || strings.Contains(after, "/sys/fs/cgroup/") {
		t.Error("the bundle is to have our seccomp rule, and the mounts that it came with:", after)
	}
	// It can be frozen again, by the names that its mounts had at first.
	if output, err := target.run("checkpoint", "--leave-running", "--image-path", filepath.Join(t.TempDir(), "again"),
		"--work-path", filepath.Join(target.bundle, "work"), target.id); err != nil {
		target.dump()
		t.Errorf("checkpoint again: %v %s", err, output)
	}
	target.clean()
}

// A read-only root whose image has no /tmp, by way of which CRIU changes roots: it is there for the restore alone.
func TestRealReadOnlyRootWithoutTmp(t *testing.T) {
	needRuncAndCriu(t)
	if !inPrivateMounts(t) {
		return
	}
	asSubreaper(t)
	image, last := freeze(t, false, "", readOnlyRoot)
	socket, _ := agentWith(t, image)
	target := newPod(t, "target", wishing(), socket, 20*time.Second, false, readOnlyRoot)
	target.create()
	if record := target.record(); !record.Restored {
		target.dump()
		t.Fatalf("%+v", record)
	}
	target.start()
	first := target.told()
	if first["token"] != last["token"] || first["read-only"] != "true" {
		t.Fatalf("frozen %v, restored %v", last, first)
	}
	// The process may run a moment before the folder is gone.
	for first["root"] != last["root"] {
		first = target.told()
	}
	target.clean()
}

// name is what the pod's other containers have for its host name.
func (p *pod) name() string {
	p.t.Helper()
	name, err := readHostName(p.uts)
	if err != nil {
		p.t.Fatal(err)
	}
	return name.Node
}

func TestRealHostNameIsTheFrozenOneUnlessThePodAsksForItsOwn(t *testing.T) {
	needRuncAndCriu(t)
	if !inPrivateMounts(t) {
		return
	}
	asSubreaper(t)
	image, last := frozen(t, false)
	socket, _ := agentWith(t, image)
	for annotation, want := range map[string]string{"": "source", hostNameOfPod: "target"} {
		annotations := wishing()
		if annotation != "" {
			annotations[hostNamePrefix+"web"] = annotation
		}
		target := newPod(t, "target", annotations, socket, 20*time.Second, false)
		target.create()
		target.start()
		if first := target.told(); first["token"] != last["token"] || first["host"] != want || target.name() != want {
			t.Errorf("%q: %v, the pod is %s: %s", annotation, first, target.name(), target.record().Message)
		}
		target.clean()
	}
}

// The node's own namespace, which a pod on the host's network has, is never renamed. The test stands in one of its own.
func TestRealHostNameOfTheNodeStays(t *testing.T) {
	needRuncAndCriu(t)
	if !inPrivateMounts(t) {
		return
	}
	asSubreaper(t)
	image, last := frozen(t, false)
	socket, _ := agentWith(t, image)
	before, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	target := newPod(t, "target", wishing(), socket, 20*time.Second, false, func(config map[string]any) {
		for _, namespace := range config["linux"].(map[string]any)["namespaces"].([]any) {
			if each := namespace.(map[string]any); each["type"] == "uts" {
				each["path"] = fmt.Sprintf("/proc/%d/ns/uts", os.Getpid())
			}
		}
	})
	target.create()
	target.start()
	first := target.told()
	if after, err := os.Hostname(); err != nil || after != before || first["token"] != last["token"] || first["host"] != before {
		t.Errorf("the node was %s, it is %s (%v); the guest says %v", before, after, err, first)
	}
}

// A container that starts cold finds its pod's own name, though a restore in the same pod had put another there.
func TestRealHostNameOfAColdStartIsThePods(t *testing.T) {
	needRuncAndCriu(t)
	if !inPrivateMounts(t) {
		return
	}
	asSubreaper(t)
	image, last := frozen(t, false)
	socket, _ := agentWith(t, image)
	target := newPod(t, "target", wishing(), socket, 20*time.Second, false)
	target.create()
	target.start()
	if first := target.told(); first["token"] != last["token"] || target.name() != "source" {
		t.Fatal(first, target.name())
	}
	// The next container of the same pod, from an image that is broken late in the restore: one file of CRIU's is short.
	again := newPod(t, "target", wishing(), socket, 20*time.Second, false, func(config map[string]any) {
		for _, namespace := range config["linux"].(map[string]any)["namespaces"].([]any) {
			if each := namespace.(map[string]any); each["type"] == "uts" {
				each["path"] = target.uts
			}
		}
		config["annotations"].(map[string]string)[sandboxIDKey] = target.id
	})
	again.state = target.state
	write(t, again.wrapper+".json", fmt.Sprintf(`{"socket": %q, "state": %q, "deadline_ms": 20000}`, socket, target.state))
	pages := filepath.Join(image, "checkpoint", "pagemap-1.img")
	write(t, pages, read(t, pages)[:20])
	again.create()
	again.start()
	if first := again.told(); first["token"] == last["token"] || first["host"] != "target" {
		t.Errorf("%v", first)
	}
	if left, err := filepath.Glob(filepath.Join(target.state, "*.hostname")); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}
