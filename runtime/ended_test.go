package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// restored is a wrapper whose container `id` was restored a while ago; its process is a real one.
func restored(t *testing.T, socket string, ago time.Duration) (installed, *exec.Cmd) {
	t.Helper()
	wrapper := install(t, socket)
	process := exec.Command("sleep", "600")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(process) })
	ticks, alive := processStart(process.Process.Pid)
	if !alive {
		t.Fatal("it does not run")
	}
	record := Record{
		Version: 1, Identity: Identity{ContainerID: "id", Namespace: "ns", Pod: "p", Container: "web", Image: "r/a@" + digest},
		Restored: true, PID: process.Process.Pid, StartTicks: ticks, BootMS: (sinceBoot() - ago).Milliseconds(),
	}
	if err := record.write(filepath.Join(wrapper.folder, "state")); err != nil {
		t.Fatal(err)
	}
	return wrapper, process
}

func end(process *exec.Cmd) {
	_ = process.Process.Kill()
	_ = process.Wait()
}

// toldEnd is what the agent was told, if it was.
func toldEnd(t *testing.T, told chan string) (ended endedRequest, ok bool) {
	t.Helper()
	select {
	case line := <-told:
		if err := json.Unmarshal([]byte(line), &ended); err != nil || ended.Op != "ended" || ended.Version != 1 {
			t.Fatal(line, err)
		}
		return ended, true
	default:
		return ended, false
	}
}

// nothingLeft says that the container's files have gone with it.
func (wrapper installed) nothingLeft(t *testing.T) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(wrapper.folder, "state", "*")); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

func TestEndOfARestoredProcessIsTold(t *testing.T) {
	socket, told := agentWith(t, "/nowhere")
	wrapper, process := restored(t, socket, 3*time.Second)
	end(process)
	// containerd makes sure of all other processes; the container's own has ended without that.
	calls, _ := wrapper.call(t, "kill", "--all", "id", "9")
	same(t, calls, "kill --all id 9")
	calls, code := wrapper.call(t, "delete", "id")
	same(t, calls, "delete id")
	if code != 7 {
		t.Error(code)
	}
	ended, ok := toldEnd(t, told)
	if !ok || ended.Signalled || ended.LivedMS < 3000 || ended.LivedMS > 60_000 {
		t.Fatalf("%v %+v", ok, ended)
	}
	if ended.ContainerID != "id" || ended.Namespace != "ns" || ended.Image != "r/a@"+digest {
		t.Errorf("%+v", ended)
	}
	wrapper.nothingLeft(t)
	wrapper.call(t, "delete", "id")
	if ended, ok := toldEnd(t, told); ok {
		t.Errorf("told twice: %+v", ended)
	}
}

func TestSignalledProcessDidNotEndByItself(t *testing.T) {
	socket, told := agentWith(t, "/nowhere")
	wrapper, process := restored(t, socket, 0)
	calls, code := wrapper.call(t, "--root", "/r", "kill", "id", "15")
	same(t, calls, "--root /r kill id 15")
	if code != 7 {
		t.Error(code)
	}
	end(process)
	wrapper.call(t, "delete", "--force", "id")
	if ended, ok := toldEnd(t, told); !ok || !ended.Signalled {
		t.Fatalf("%v %+v", ok, ended)
	}
	wrapper.nothingLeft(t)
}

func TestForcedDeleteOfALivingProcessIsASignal(t *testing.T) {
	socket, told := agentWith(t, "/nowhere")
	wrapper, _ := restored(t, socket, 0)
	// Without force, runc refuses; then the container goes on, and so must its record.
	calls, _ := wrapper.call(t, "delete", "id")
	same(t, calls, "delete id")
	if _, ok := readRecord(filepath.Join(wrapper.folder, "state"), "id"); !ok {
		t.Error("the record of a running container is gone")
	}
	if ended, ok := toldEnd(t, told); ok {
		t.Errorf("%+v", ended)
	}
	wrapper.call(t, "delete", "--force", "id")
	if ended, ok := toldEnd(t, told); !ok || !ended.Signalled {
		t.Fatalf("%v %+v", ok, ended)
	}
}

func TestEndOfAColdContainerIsNobodysBusiness(t *testing.T) {
	socket, told := agentWith(t, "/nowhere")
	wrapper := install(t, socket)
	state := filepath.Join(wrapper.folder, "state")
	cold := Record{Version: 1, Identity: Identity{ContainerID: "id"}, Reason: DiskFull}
	if err := cold.write(state); err != nil {
		t.Fatal(err)
	}
	for _, line := range [][]string{{"kill", "id", "KILL"}, {"kill", "other"}, {"delete", "id"}, {"delete", "other"}} {
		wrapper.call(t, line...)
	}
	if ended, ok := toldEnd(t, told); ok {
		t.Errorf("%+v", ended)
	}
	wrapper.nothingLeft(t)
}

// An agent of an earlier version, none at all, and one that hangs: the container is deleted without much ado.
func TestDeleteDoesNotDependOnTheAgent(t *testing.T) {
	sockets := map[string]string{"absent": "/nowhere"}
	sockets["older"] = answerWith(t, func(_ string, connection net.Conn) {
		_, _ = connection.Write([]byte(`{"error": "op: unknown"}` + "\n"))
	}).Socket
	release := make(chan struct{})
	sockets["hanging"] = answerWith(t, func(string, net.Conn) { <-release }).Socket
	defer close(release)
	for name, socket := range sockets {
		wrapper, process := restored(t, socket, 0)
		end(process)
		began := time.Now()
		calls, code := wrapper.call(t, "delete", "id")
		same(t, calls, "delete id")
		// The limit is the deadline and room for a slow machine to start two programs in.
		if took := time.Since(began); code != 7 || took > toldWait+5*time.Second {
			t.Errorf("%s: exit code %d after %v", name, code, took)
		}
		wrapper.nothingLeft(t)
	}
}

// A moment that cannot be told costs one count and no error.
func TestRecordOfAnEarlierVersionIsNoCrash(t *testing.T) {
	socket, told := agentWith(t, "/nowhere")
	wrapper := install(t, socket)
	state := filepath.Join(wrapper.folder, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, recordPath(state, "id"), `{"version": 1, "container_id": "id", "restored": true, "pid": 4194305, "start_ticks": 1}`)
	wrapper.call(t, "delete", "id")
	if ended, ok := toldEnd(t, told); !ok || ended.LivedMS < sinceBoot().Milliseconds()/2 {
		t.Errorf("%v %+v", ok, ended)
	}
}
