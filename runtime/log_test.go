package main

import (
	"errors"
	"path/filepath"
	"regexp"
	"testing"
)

func TestLogEntriesAreRuncs(t *testing.T) {
	for format, want := range map[string]string{
		"json": `^{"level":"warning","msg":"ksnap-runc: \\"a\\"","time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^"]*"}\n$`,
		"":     `^time="\d{4}-[^"]*" level=warning msg="ksnap-runc: \\"a\\""\n$`,
		"text": `^time="\d{4}-[^"]*" level=warning msg="ksnap-runc: \\"a\\""\n$`,
	} {
		path := filepath.Join(t.TempDir(), "log")
		invocation := Invocation{Global: []Option{{"log", path}, {"log-format", format}}}
		invocation.writeLog(levelWarning, errors.New(`"a"`))
		if text := read(t, path); !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%s: %s", format, text)
		}
	}
}
