package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// logEntry is an entry of runc's log in its JSON form (logrus). The shim reads the file as a stream of such objects and
// shows the last one of level "error" when a command fails.
type logEntry struct {
	Level string `json:"level"`
	Msg   string `json:"msg"`
	Time  string `json:"time"`
}

const (
	levelWarning = "warning"
	levelError   = "error"
)

// writeLog adds an entry where runc would: to the file of --log in the form of --log-format, else to stderr. What
// cannot be logged is dropped, since a log must not decide over a container.
func (invocation Invocation) writeLog(level string, err error) {
	format, _ := value(invocation.Global, "log-format")
	line := formatEntry(format, logEntry{
		Level: level, Msg: "ksnap-runc: " + err.Error(), Time: time.Now().Format(time.RFC3339),
	})
	path, _ := value(invocation.Global, "log")
	if path == "" {
		_, _ = os.Stderr.Write(line)
		return
	}
	file, openErr := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if openErr != nil {
		return
	}
	defer file.Close()
	_, _ = file.Write(line)
}

func formatEntry(format string, entry logEntry) []byte {
	if format == "json" {
		line, err := json.Marshal(entry)
		if err != nil {
			return nil
		}
		return append(line, '\n')
	}
	return fmt.Appendf(nil, "time=%q level=%s msg=%q\n", entry.Time, entry.Level, entry.Msg)
}
