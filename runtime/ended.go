package main

import (
	"os"
	"path/filepath"
)

// A restore may succeed and its process still be unable to live: what it finds is not what it was frozen with, and the
// kubelet has it restored again and again. So the agent is told how each restored container ended, and counts. The
// moment is `delete`, which containerd calls as soon as a process has ended; a containerd that was down meanwhile makes a
// life look longer than it was. Only the shim learns the exit code.

// signalledPath exists once somebody sent a restored container a signal: its end is then not its own doing.
func signalledPath(state, id string) string {
	return filepath.Join(state, id+".signalled")
}

// noteSignal comes before `kill`. A signal for a process that has ended already says nothing: containerd sends one to be
// sure of all others in the container.
func noteSignal(node Node, invocation Invocation) {
	record, ok := restoredRecord(node.State, invocation.ID)
	if !ok || !record.alive() {
		return
	}
	file, err := os.OpenFile(signalledPath(node.State, invocation.ID), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		invocation.writeLog(levelWarning, err)
	}
}

// tellEnd comes before `delete` of a restored container, whose process has ended or is about to be ended by force.
func tellEnd(node Node, record Record) {
	_, err := os.Lstat(signalledPath(node.State, record.ContainerID))
	signalled := err == nil || record.alive()
	// Its loss costs a count; the container is deleted either way.
	_ = Agent{node.Socket}.Ended(endedRequest{
		Identity: record.Identity, Signalled: signalled,
		LivedMS: max(sinceBoot().Milliseconds()-record.BootMS, 0),
	})
}
