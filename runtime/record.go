package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const maxRecord = 256 << 10

// Record is what became of an annotated container's start; the agent reads it, and `start` does.
type Record struct {
	Version int `json:"version"`
	Identity
	Restored bool   `json:"restored"`
	Reason   Reason `json:"reason"`
	Message  string `json:"message"`
	PID      int    `json:"pid"`
	// StartTicks is when that process began (field 22 of /proc/PID/stat): a PID alone may be another's by now.
	StartTicks uint64 `json:"start_ticks"`
	At         string `json:"at"`
	// BootMS is the same moment on the clock that nobody sets: how long a restored process lived is told by it.
	BootMS int64 `json:"boot_ms"`
	Durations
}

// atTime is RFC 3339 with milliseconds.
func atTime(moment time.Time) string {
	return moment.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

func recordPath(state, id string) string {
	return filepath.Join(state, id+".json")
}

// write keeps the record for root's eyes only: its message may quote a log.
func (record Record) write(state string) error {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	encoded, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if err := writeWhole(recordPath(state, record.ContainerID), append(encoded, '\n'), 0o600); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// readRecord is false where the container has none, as most have.
func readRecord(state, id string) (Record, bool) {
	var record Record
	data, err := readLimited(recordPath(state, id), maxRecord)
	if err != nil || json.Unmarshal(data, &record) != nil || record.ContainerID != id {
		return Record{}, false
	}
	return record, true
}

func removeRecord(state, id string) error {
	if err := os.Remove(recordPath(state, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// restoredRecord is the record of a container that was restored; false for every other.
func restoredRecord(state, id string) (Record, bool) {
	record, ok := readRecord(state, id)
	return record, ok && record.Restored && record.PID > 0
}

// alive says whether the container's process still runs.
func (record Record) alive() bool {
	ticks, alive := processStart(record.PID)
	return alive && ticks == record.StartTicks
}

// startedByRestore says whether `start` has nothing to do: the container runs since its restore. Where its process has
// ended meanwhile, runc gives the answer that it always gives then.
func startedByRestore(node Node, invocation Invocation) bool {
	record, ok := restoredRecord(node.State, invocation.ID)
	return ok && record.alive()
}
