package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// answerWith is an agent that reads one line per connection and writes what `answer` returns for it.
func answerWith(t *testing.T, answer func(line string, connection net.Conn)) Agent {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); running.Wait() })
	running.Add(1)
	go func() {
		defer running.Done()
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			running.Add(1)
			go func() {
				defer running.Done()
				defer connection.Close()
				line, err := bufio.NewReader(connection).ReadString('\n')
				if err == nil {
					answer(line, connection)
				}
			}()
		}
	}()
	return Agent{Socket: socket}
}

func answerText(t *testing.T, text string) Agent {
	return answerWith(t, func(_ string, connection net.Conn) { _, _ = connection.Write([]byte(text)) })
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func TestPrepareAsksWithIdentityAndTimeLeft(t *testing.T) {
	asked := make(chan string, 1)
	agent := answerWith(t, func(line string, connection net.Conn) {
		asked <- line
		_, _ = connection.Write([]byte(`{"ready": true, "path": "/images/x", "fetch_ms": 1, "unpack_ms": 2, "later": []}` + "\n"))
	})
	path, err := agent.Prepare(within(t, 5*time.Second), Identity{"id", "sandbox", "ns", "pod", "uid", "web", "r/a@" + digest})
	if err != nil || path != "/images/x" {
		t.Fatal(path, err)
	}
	var request map[string]any
	if err := json.Unmarshal([]byte(<-asked), &request); err != nil {
		t.Fatal(err)
	}
	left, ok := request["deadline_ms"].(float64)
	if !ok || left < 4000 || left > 5000 {
		t.Fatal(request["deadline_ms"])
	}
	delete(request, "deadline_ms")
	got, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"container":"web","container_id":"id","image":"r/a@` + digest + `","namespace":"ns","op":"prepare","pod":"pod","pod_uid":"uid","sandbox_id":"sandbox","version":1}`
	if string(got) != want {
		t.Fatalf("%s", got)
	}
}

func TestPrepareTakesTheAgentsReason(t *testing.T) {
	_, err := answerText(t, `{"ready": false, "reason": "ImageUntrusted", "message": "No signature."}`+"\n").Prepare(within(t, time.Second), Identity{})
	reasonIs(t, err, "ImageUntrusted")
	if err.Error() != "No signature." {
		t.Fatal(err)
	}
}

func TestPrepareWithoutAnAnswer(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "cut off": `{"ready": true`, "garbage": "hello\n", "a list": "[]\n", "no reason": "{}\n",
		"a reason that is none": `{"ready": false, "reason": "no such, thing"}` + "\n",
		"a relative folder":     `{"ready": true, "path": "x"}` + "\n",
		"wrong types":           `{"ready": "yes"}` + "\n",
		"too long":              strings.Repeat("x", maxLine+10) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := answerText(t, text).Prepare(within(t, time.Second), Identity{})
			reasonIs(t, err, AgentUnavailable)
		})
	}
	_, err := Agent{filepath.Join(t.TempDir(), "none")}.Prepare(within(t, time.Second), Identity{})
	reasonIs(t, err, AgentUnavailable)
}

func TestPrepareEndsAtTheDeadline(t *testing.T) {
	release := make(chan struct{})
	agent := answerWith(t, func(_ string, connection net.Conn) {
		_, _ = connection.Write([]byte(`{"ready"`))
		<-release
	})
	defer close(release)
	began := time.Now()
	_, err := agent.Prepare(within(t, 50*time.Millisecond), Identity{})
	reasonIs(t, err, DeadlineExceeded)
	if took := time.Since(began); took > time.Second {
		t.Fatal(took)
	}
}

func TestOutcomeHasTheContractsFields(t *testing.T) {
	told := make(chan string, 1)
	agent := answerWith(t, func(line string, connection net.Conn) {
		told <- line
		_, _ = connection.Write([]byte("{}\n"))
	})
	err := agent.Outcome(outcomeRequest{
		Identity: Identity{ContainerID: "id"}, Reason: MountMismatch, Message: strings.Repeat("é", maxMessage), Durations: Durations{1, 2, 3, 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	var outcome map[string]any
	if err := json.Unmarshal([]byte(<-told), &outcome); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"version": 1.0, "op": "outcome", "container_id": "id", "restored": false, "reason": "MountMismatch",
		"prepare_ms": 1.0, "apply_ms": 2.0, "criu_ms": 3.0, "total_ms": 4.0,
	} {
		if outcome[name] != want {
			t.Errorf("%s: %v", name, outcome[name])
		}
	}
	if message, ok := outcome["message"].(string); !ok || len(message) > maxMessage || strings.Trim(message, "é") != "" {
		t.Error(len(message))
	}
}

func TestNobodyWaitsForWhatAnAgentSaysToAnOutcome(t *testing.T) {
	told, release := make(chan string, 1), make(chan struct{})
	agent := answerWith(t, func(line string, _ net.Conn) {
		told <- line
		<-release
	})
	defer close(release)
	if err := agent.Outcome(outcomeRequest{Restored: true}); err != nil {
		t.Fatal(err)
	}
	if line := <-told; !strings.Contains(line, `"restored":true`) {
		t.Error(line)
	}
	if err := (Agent{Socket: "/nowhere"}).Outcome(outcomeRequest{}); err == nil {
		t.Error("told to nobody")
	}
}
