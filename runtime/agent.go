package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

const (
	protocolVersion = 1
	// maxLine is the contract's bound of a request and of an answer.
	maxLine = 64 << 10
	// maxMessage keeps what we tell the agent well below a line's bound, whatever a log holds.
	maxMessage = 8 << 10
	// toldWait is how long an agent whose queue of connections is full holds up a start or a deletion. What it says to
	// what it is told is not waited for.
	toldWait = 500 * time.Millisecond
)

// Agent is the node's agent behind its unix socket: one request and one answer per connection, a line of JSON each.
type Agent struct {
	Socket string
}

type prepareRequest struct {
	Version int    `json:"version"`
	Op      string `json:"op"`
	Identity
	DeadlineMS int64 `json:"deadline_ms"`
}

type prepareAnswer struct {
	Ready   bool   `json:"ready"`
	Path    string `json:"path"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Durations are how long the parts of one start took, as the agent's metrics and the record want them.
type Durations struct {
	PrepareMS int64 `json:"prepare_ms"`
	ApplyMS   int64 `json:"apply_ms"`
	CriuMS    int64 `json:"criu_ms"`
	TotalMS   int64 `json:"total_ms"`
}

type outcomeRequest struct {
	Version int    `json:"version"`
	Op      string `json:"op"`
	Identity
	Restored bool   `json:"restored"`
	Reason   Reason `json:"reason"`
	Message  string `json:"message"`
	Durations
}

// endedRequest tells how a restored container's process ended. An agent that does not know it says so, and that is all.
type endedRequest struct {
	Version int    `json:"version"`
	Op      string `json:"op"`
	Identity
	// LivedMS is counted from the end of the restore.
	LivedMS int64 `json:"lived_ms"`
	// Signalled means that somebody had sent it a signal through its runtime, so that it may not have ended by itself.
	Signalled bool `json:"signalled"`
}

// Prepare asks for the unpacked, verified image and returns its folder. The agent fetches it first if need be, so the
// answer may take until the deadline.
func (agent Agent) Prepare(ctx context.Context, identity Identity) (string, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return "", errors.New("prepare: no deadline")
	}
	request := prepareRequest{
		Version: protocolVersion, Op: "prepare", Identity: identity,
		DeadlineMS: max(time.Until(deadline).Milliseconds(), 1),
	}
	var answer prepareAnswer
	if err := agent.call(deadline, request, &answer); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "", refuse(DeadlineExceeded, "The agent did not prepare the image in time")
		}
		return "", refuse(AgentUnavailable, "The agent did not answer: %v", err)
	}
	if !answer.Ready {
		return "", agentRefusal(answer)
	}
	if !filepath.IsAbs(answer.Path) {
		return "", refuse(AgentUnavailable, "The agent named no folder: %.200q", answer.Path)
	}
	return filepath.Clean(answer.Path), nil
}

// agentRefusal takes the agent's word as it is, once it has the form of a reason.
func agentRefusal(answer prepareAnswer) error {
	if !regexp.MustCompile(`^[A-Z][A-Za-z]{2,63}$`).MatchString(answer.Reason) {
		return refuse(AgentUnavailable, "The agent refused without a reason: %.200q", answer.Message)
	}
	return refuse(Reason(answer.Reason), "%s", shorten(answer.Message, maxMessage))
}

// Outcome tells the agent how the start went. Its loss changes nothing on the node.
func (agent Agent) Outcome(outcome outcomeRequest) error {
	outcome.Version, outcome.Op = protocolVersion, "outcome"
	outcome.Message = shorten(outcome.Message, maxMessage)
	return agent.tell(outcome)
}

// Ended tells the agent of a restored container's end. Its loss costs one count of the agent's.
func (agent Agent) Ended(ended endedRequest) error {
	ended.Version, ended.Op = protocolVersion, "ended"
	return agent.tell(ended)
}

// tell sends one line and leaves. It lies in the socket until the agent comes to it.
func (agent Agent) tell(message any) error {
	connection, err := agent.send(time.Now().Add(toldWait), message)
	if err != nil {
		return err
	}
	return connection.Close()
}

// send opens a connection with one line in it.
func (agent Agent) send(deadline time.Time, message any) (net.Conn, error) {
	line, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if len(line) >= maxLine {
		return nil, fmt.Errorf("the request has %d bytes", len(line))
	}
	dialer := net.Dialer{Deadline: deadline}
	connection, err := dialer.Dial("unix", agent.Socket)
	if err != nil {
		return nil, err
	}
	if err = connection.SetDeadline(deadline); err == nil {
		_, err = connection.Write(append(line, '\n'))
	}
	if err != nil {
		_ = connection.Close()
		return nil, err
	}
	return connection, nil
}

// call sends one line and reads one.
func (agent Agent) call(deadline time.Time, request, answer any) error {
	connection, err := agent.send(deadline, request)
	if err != nil {
		return err
	}
	defer connection.Close()
	reply, err := bufio.NewReader(io.LimitReader(connection, maxLine+1)).ReadBytes('\n')
	switch {
	case errors.Is(err, io.EOF) && len(reply) > maxLine:
		return fmt.Errorf("the answer has more than %d bytes", maxLine)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the answer ends after %d bytes: %w", len(reply), io.ErrUnexpectedEOF)
	case err != nil:
		return err
	}
	if err := json.Unmarshal(bytes.TrimSpace(reply), answer); err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	return nil
}

// shorten keeps the end, where logs say what happened.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	text = text[len(text)-most:]
	// Not in the middle of a character.
	for len(text) > 0 && text[0]&0xc0 == 0x80 {
		text = text[1:]
	}
	return text
}
