package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
