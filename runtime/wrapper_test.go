package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A wrapper installed in a folder of its own, with a runc that only writes down how it was called: these tests are about
// the calls. What runc and CRIU make of them is e2e_test.go's.
type installed struct {
	folder string
	calls  string
}

func install(t *testing.T, socket string) installed {
	t.Helper()
	folder := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(self, filepath.Join(folder, "ksnap-runc")); err != nil {
		t.Fatal(err)
	}
	calls := filepath.Join(folder, "calls")
	// `restore` answers no, so that what follows a failed restore is seen as well.
	script := "#!/bin/sh\nprintf '%s\\n' \"$*\" >>" + calls + "\ncase \"$*\" in *' restore '*) exit 1;; esac\nexit 7\n"
	for _, name := range []string{"runc", "criu"} {
		if err := os.Chmod(write(t, filepath.Join(folder, "bin", name), script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	settings, err := json.Marshal(map[string]any{
		"runc": filepath.Join(folder, "bin", "runc"), "socket": socket, "state": filepath.Join(folder, "state"), "deadline_ms": 5000,
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "ksnap-runc.json"), string(settings))
	return installed{folder: folder, calls: calls}
}

// call runs the wrapper; what runc was called with, and the exit code.
func (wrapper installed) call(t *testing.T, args ...string) ([]string, int) {
	t.Helper()
	_ = os.Remove(wrapper.calls)
	command := exec.Command(filepath.Join(wrapper.folder, "ksnap-runc"), args...)
	command.Env = []string{"PATH=" + filepath.Join(wrapper.folder, "bin") + ":/usr/bin:/bin"}
	output, err := command.CombinedOutput()
	if len(output) > 0 {
		t.Logf("%s", output)
	}
	if err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(wrapper.calls)
	if err != nil {
		return nil, command.ProcessState.ExitCode()
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n"), command.ProcessState.ExitCode()
}

func (wrapper installed) bundle(t *testing.T, annotations map[string]string) string {
	t.Helper()
	folder := filepath.Join(wrapper.folder, "bundle")
	if err := os.MkdirAll(filepath.Join(folder, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := map[string]any{
		"annotations": annotations, "root": map[string]any{"path": "rootfs"}, "process": map[string]any{"user": map[string]any{}},
		"linux": map[string]any{"maskedPaths": []string{"/proc/kcore"}},
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "config.json"), string(data))
	return folder
}

func container(more ...string) map[string]string {
	annotations := map[string]string{containerTypeKey: "container", containerNameKey: "web"}
	for at := 0; at < len(more); at += 2 {
		annotations[more[at]] = more[at+1]
	}
	return annotations
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEverythingElseIsPassedOn(t *testing.T) {
	wrapper := install(t, "/nowhere")
	for _, line := range []string{
		"--version", "features", "--root /r --log /l state id", "exec --pid-file /p --detach id", "kill --all id 9", "run id",
		"create --new-option id", "start id", "delete --force id", "checkpoint --leave-running --image-path /i id", "",
	} {
		calls, code := wrapper.call(t, strings.Fields(line)...)
		same(t, calls, line)
		if code != 7 {
			t.Errorf("%s: exit code %d instead of runc's", line, code)
		}
	}
}

func TestOptionOfALaterRuncIsSaidInTheLog(t *testing.T) {
	wrapper := install(t, "/nowhere")
	log := filepath.Join(wrapper.folder, "log.json")
	line := "--log " + log + " --log-format json create --new-option id"
	calls, _ := wrapper.call(t, strings.Fields(line)...)
	same(t, calls, line)
	if text := read(t, log); !strings.Contains(text, "new-option") || !strings.Contains(text, "warning") {
		t.Error(text)
	}
}

func TestSandboxIsLeftAsItIs(t *testing.T) {
	wrapper := install(t, "/nowhere")
	bundle := wrapper.bundle(t, map[string]string{containerTypeKey: "sandbox", restorePrefix + "web": "r/a@" + digest})
	before := read(t, filepath.Join(bundle, "config.json"))
	calls, _ := wrapper.call(t, "create", "--bundle", bundle, "id")
	same(t, calls, "create --bundle "+bundle+" id")
	if read(t, filepath.Join(bundle, "config.json")) != before {
		t.Error("config.json was changed")
	}
}

func TestContainerOfTheClassIsMadeFreezable(t *testing.T) {
	for name, annotations := range map[string]map[string]string{
		"without a wish":   container(),
		"malformed wish":   container(restorePrefix+"web", "r/a:tag"),
		"another's wish":   container(restorePrefix+"db", "r/a@"+digest),
		"io_uring allowed": container(ioUringKey, "allow"),
	} {
		t.Run(name, func(t *testing.T) {
			wrapper := install(t, "/nowhere")
			bundle := wrapper.bundle(t, annotations)
			calls, code := wrapper.call(t, "--log", filepath.Join(wrapper.folder, "log"), "create", "--bundle", bundle, "id")
			same(t, calls, "--log "+filepath.Join(wrapper.folder, "log")+" create --bundle "+bundle+" id")
			if code != 7 {
				t.Error(code)
			}
			opened, err := openBundle(bundle)
			if err != nil {
				t.Fatal(err)
			}
			config := filepath.Join(bundle, "ksnap-work", "criu.conf")
			if opened.Annotations[criuConfigKey] != config || !strings.Contains(read(t, config), "tcp-close") {
				t.Error(opened.Annotations)
			}
			if denied := strings.Contains(string(opened.raw), "io_uring_setup"); denied != (name != "io_uring allowed") {
				t.Error(string(opened.raw))
			}
			if records, err := filepath.Glob(filepath.Join(wrapper.folder, "state", "*")); err != nil || len(records) > 0 {
				t.Error(records, err)
			}
		})
	}
}

func TestWithoutAnAgentTheContainerStartsCold(t *testing.T) {
	wrapper := install(t, "/nowhere")
	bundle := wrapper.bundle(t, container(restorePrefix+"web", "r/a@"+digest))
	log := filepath.Join(wrapper.folder, "log.json")
	args := []string{"--log", log, "--log-format", "json", "create", "--bundle", bundle, "--no-new-keyring", "id"}
	calls, code := wrapper.call(t, args...)
	same(t, calls, strings.Join(args, " "))
	if code != 7 {
		t.Error(code)
	}
	record, ok := readRecord(filepath.Join(wrapper.folder, "state"), "id")
	if !ok || record.Restored || record.Reason != AgentUnavailable || record.Message == "" || record.Image != "r/a@"+digest {
		t.Fatalf("%+v", record)
	}
	var entry logEntry
	if err := json.Unmarshal([]byte(read(t, log)), &entry); err != nil || entry.Level != "warning" || !strings.Contains(entry.Msg, "cold start") {
		t.Fatal(entry, err)
	}
	// Its start is runc's.
	calls, _ = wrapper.call(t, "start", "id")
	same(t, calls, "start id")
	wrapper.call(t, "delete", "id")
	if _, ok := readRecord(filepath.Join(wrapper.folder, "state"), "id"); ok {
		t.Error("the record outlives its container")
	}
}

func TestWithoutCriuNobodyIsAsked(t *testing.T) {
	wrapper := install(t, "/nowhere")
	if err := os.Remove(filepath.Join(wrapper.folder, "bin", "criu")); err != nil {
		t.Fatal(err)
	}
	bundle := wrapper.bundle(t, container(restorePrefix+"web", "r/a@"+digest))
	wrapper.call(t, "create", "--bundle", bundle, "id")
	if record, _ := readRecord(filepath.Join(wrapper.folder, "state"), "id"); record.Reason != CriuMissing {
		t.Fatalf("%+v", record)
	}
}

// unpacked is an agent's folder of an image that fits `bundle`.
func unpacked(t *testing.T, diff []byte) string {
	t.Helper()
	folder := t.TempDir()
	write(t, filepath.Join(folder, "image.json"), fmt.Sprintf(`{"digest": %q, "architecture": %q}`, digest, runtime.GOARCH))
	write(t, filepath.Join(folder, "config.dump"), `{"runtime": "io.containerd.runc.v2"}`)
	write(t, filepath.Join(folder, "spec.dump"), `{"process": {"user": {}}, "linux": {}, "root": {"path": "rootfs"}}`)
	write(t, filepath.Join(folder, "checkpoint", "inventory.img"), "")
	if diff != nil {
		write(t, filepath.Join(folder, "rootfs-diff.tar"), string(diff))
	}
	return folder
}

func agentWith(t *testing.T, folder string) (socket string, told chan string) {
	t.Helper()
	told = make(chan string, 10)
	agent := answerWith(t, func(line string, connection net.Conn) {
		answer := "{}\n"
		if strings.Contains(line, `"op":"prepare"`) {
			answer = fmt.Sprintf(`{"ready": true, "path": %q}`+"\n", folder)
		}
		select {
		case told <- line:
		default:
			// Nobody listens in this test.
		}
		_, _ = connection.Write([]byte(answer))
	})
	return agent.Socket, told
}

func TestFailedRestoreIsRemovedAndCreatedInTheSameCall(t *testing.T) {
	image := unpacked(t, nil)
	socket, told := agentWith(t, image)
	wrapper := install(t, socket)
	bundle := wrapper.bundle(t, container(restorePrefix+"web", "r/a@"+digest))
	pidFile, root := filepath.Join(bundle, "init.pid"), filepath.Join(wrapper.folder, "runc")
	create := []string{"--root", root, "--log", filepath.Join(bundle, "log.json"), "--log-format", "json", "--systemd-cgroup",
		"create", "--bundle", bundle, "--pid-file", pidFile, "--no-pivot", "--no-new-keyring", "id"}
	// What a killed runc would leave, and stumble over.
	write(t, filepath.Join(bundle, ".init.pid"), "1")
	calls, code := wrapper.call(t, create...)
	work := filepath.Join(bundle, "ksnap-work")
	same(t, calls,
		"--root "+root+" --systemd-cgroup --log "+work+"/restore-runc.json --log-format json restore --detach --no-subreaper"+
			" --bundle "+bundle+" --image-path "+image+"/checkpoint --work-path "+work+" --pid-file "+pidFile+
			" --manage-cgroups-mode soft --file-locks --no-pivot id",
		"--root "+root+" --systemd-cgroup --log "+work+"/delete-runc.json --log-format json delete --force id",
		strings.Join(create, " "))
	if code != 7 {
		t.Error(code)
	}
	for _, path := range []string{filepath.Join(bundle, ".init.pid"), filepath.Join(wrapper.folder, "state", "id.restoring")} {
		if _, err := os.Lstat(path); err == nil {
			t.Error(path, "was left")
		}
	}
	<-told
	var outcome outcomeRequest
	if err := json.Unmarshal([]byte(<-told), &outcome); err != nil || outcome.Op != "outcome" || outcome.Restored || outcome.Reason != RestoreFailed {
		t.Fatalf("%+v %v", outcome, err)
	}
}

func TestTerminalIsGivenToRestore(t *testing.T) {
	got := strings.Join(restoreArgs(Invocation{ID: "id"}, &Bundle{Path: "/b"}, "/i", "/p", "/c"), " ")
	if !strings.HasSuffix(got, " --file-locks --console-socket /c") {
		t.Error(got)
	}
}

func TestLabelsAreTheNewContainers(t *testing.T) {
	frozen := specOf(t, `{"process": {"apparmorProfile": "cri-containerd.apparmor.d"}, "linux": {}}`)
	for config, want := range map[string]string{
		`{"process": {}, "linux": {}}`: "",
		`{"process": {"selinuxLabel": "a:b:c:s0:c1,c2"}, "linux": {"mountLabel": "d:e"}}`: " --lsm-profile selinux:a:b:c:s0:c1,c2 --lsm-mount-context d:e",
		`{"process": {"apparmorProfile": "cri-containerd.apparmor.d"}, "linux": {}}`:      "",
		`{"process": {"apparmorProfile": "strict"}, "linux": {}}`:                         " --lsm-profile apparmor:strict",
	} {
		if got := strings.Join(append([]string{""}, lsmArgs(frozen, specOf(t, config))...), " "); got != want {
			t.Errorf("%s: %s", config, got)
		}
	}
}

func TestDifferenceNeedsAWayBack(t *testing.T) {
	socket, _ := agentWith(t, unpacked(t, tarOf(t, file("new", "n"))))
	wrapper := install(t, socket)
	bundle := wrapper.bundle(t, container(restorePrefix+"web", "r/a@"+digest))
	calls, _ := wrapper.call(t, "create", "--bundle", bundle, "id")
	same(t, calls, "create --bundle "+bundle+" id")
	record, _ := readRecord(filepath.Join(wrapper.folder, "state"), "id")
	if record.Reason != RootfsDiffRefused || !strings.Contains(record.Message, "cannot be taken back") {
		t.Fatalf("%+v", record)
	}
	if _, err := os.Lstat(filepath.Join(bundle, "rootfs", "new")); err == nil {
		t.Error("it was applied")
	}
}

func TestCheckpointWritesItsOptionsFirst(t *testing.T) {
	wrapper := install(t, "/nowhere")
	config := filepath.Join(wrapper.folder, "bundle", "ksnap-work", "criu.conf")
	write(t, filepath.Join(wrapper.folder, "runc", "id", "state.json"), fmt.Sprintf(`{"config": {"labels": ["org.criu.config=%s"]}}`, config))
	for _, option := range []string{"--leave-running", "--tcp-established"} {
		calls, _ := wrapper.call(t, "--root", filepath.Join(wrapper.folder, "runc"), "checkpoint", option, "id")
		same(t, calls, "--root "+filepath.Join(wrapper.folder, "runc")+" checkpoint "+option+" id")
		if closed := strings.Contains(read(t, config), "tcp-close"); closed != (option == "--leave-running") {
			t.Error(option, read(t, config))
		}
	}
}

func TestDeleteOfAnInterruptedRestoreClearsItsMarker(t *testing.T) {
	wrapper := install(t, "/nowhere")
	marker := filepath.Join(wrapper.folder, "state", "id.restoring")
	bundle := filepath.Join(wrapper.folder, "bundle")
	write(t, marker, fmt.Sprintf(`{"rootfs": "%s/rootfs", "work": "%s/ksnap-work"}`, bundle, bundle))
	calls, _ := wrapper.call(t, "delete", "--force", "id")
	same(t, calls, "delete --force id")
	if _, err := os.Lstat(marker); err == nil {
		t.Error("the marker stays")
	}
	// A marker that says nothing sensible: what is mounted is not known, so runc must not remove anything.
	for _, text := range []string{"", "{}", `{"rootfs": "/", "work": "/a/b"}`, `{"rootfs": "/a/b"}`} {
		write(t, marker, text)
		if calls, code := wrapper.call(t, "delete", "--force", "id"); calls != nil || code != 1 {
			t.Error(text, calls, code)
		}
	}
}
