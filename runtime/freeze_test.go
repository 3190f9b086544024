package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const mark = "0123456789abcdef0123456789abcdef"

// freezes is a wrapper whose agent answers a freeze so, and the folder that containerd named.
func freezes(t *testing.T, path, mark string) (wrapper installed, named string, asked chan string) {
	t.Helper()
	asked = make(chan string, 1)
	agent := answerWith(t, func(line string, connection net.Conn) {
		asked <- line
		_, _ = fmt.Fprintf(connection, `{"path": %q, "mark": %q}`+"\n", path, mark)
	})
	return install(t, agent.Socket), filepath.Join(t.TempDir(), "ctrd-checkpoint"), asked
}

func ownFolder(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "images")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestAgentsDumpGoesIntoItsFolder(t *testing.T) {
	folder := ownFolder(t)
	wrapper, named, asked := freezes(t, folder, mark)
	calls, code := wrapper.call(t, "--root", "/r", "--log-format", "json", "checkpoint", "--leave-running", "--image-path", named,
		"--work-path=/w", "id")
	same(t, calls, "--root=/r --log-format=json checkpoint --leave-running --image-path="+folder+" --work-path=/w id")
	if code != 7 {
		t.Error(code)
	}
	if line := <-asked; line != `{"version":1,"op":"freeze","container_id":"id"}`+"\n" {
		t.Error(line)
	}
	if found := read(t, filepath.Join(named, freezeMark)); found != mark {
		t.Error(found)
	}
}

func TestOtherDumpsGoWhereTheyWereToGo(t *testing.T) {
	for name, answer := range map[string][2]string{
		"not the agent's": {"", ""},
		"no mark":         {ownFolder(t), ""},
		"relative":        {"images", mark},
		"not there":       {filepath.Join(ownFolder(t), "no"), mark},
	} {
		t.Run(name, func(t *testing.T) {
			wrapper, named, _ := freezes(t, answer[0], answer[1])
			line := []string{"checkpoint", "--leave-running", "--image-path", named, "id"}
			calls, _ := wrapper.call(t, line...)
			same(t, calls, strings.Join(line, " "))
			if _, err := os.Lstat(filepath.Join(named, freezeMark)); err == nil {
				t.Error("a mark tells of images that are not there")
			}
		})
	}
	t.Run("a folder that others may write", func(t *testing.T) {
		folder := ownFolder(t)
		if err := os.Chmod(folder, 0o770); err != nil {
			t.Fatal(err)
		}
		if checkFreezeFolder(folder) == nil {
			t.Error("taken")
		}
	})
	t.Run("a folder with something in it", func(t *testing.T) {
		folder := ownFolder(t)
		write(t, filepath.Join(folder, "inventory.img"), "")
		if checkFreezeFolder(folder) == nil {
			t.Error("taken")
		}
	})
}

func TestNobodyIsAskedForADumpThatTheAgentNeverWants(t *testing.T) {
	for _, line := range []string{
		"checkpoint --image-path /i id",
		"checkpoint --leave-running id",
		"checkpoint --leave-running --image-path i id",
		"checkpoint --leave-running --pre-dump --image-path /i id",
		"checkpoint --leave-running --parent-path /p --image-path /i id",
	} {
		wrapper, _, asked := freezes(t, ownFolder(t), mark)
		calls, _ := wrapper.call(t, strings.Fields(line)...)
		same(t, calls, line)
		if len(asked) > 0 {
			t.Error(line)
		}
	}
}
