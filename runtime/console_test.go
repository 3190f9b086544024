package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The shim takes one connection; runc sends it the terminal's master with its name.
func TestConsoleIsHandedOnToTheShim(t *testing.T) {
	folder := t.TempDir()
	shim, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(folder, "pty.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer shim.Close()
	relay, err := listenForConsole(folder, "id", filepath.Join(folder, "pty.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	runc, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: relay.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	master, err := os.CreateTemp(folder, "master")
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if _, _, err := runc.WriteMsgUnix([]byte("/dev/ptmx"), unix.UnixRights(int(master.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	// runc has ended by the time its terminal is handed on.
	if err := runc.Close(); err != nil {
		t.Fatal(err)
	}
	if err := relay.Forward(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	got, err := shim.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	name, rights := make([]byte, 100), make([]byte, 100)
	nameSize, rightsSize, _, _, err := got.ReadMsgUnix(name, rights)
	if err != nil || string(name[:nameSize]) != "/dev/ptmx" {
		t.Fatal(string(name[:nameSize]), err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rightsSize])
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(descriptors) != 1 {
		t.Fatal(descriptors, err)
	}
	defer unix.Close(descriptors[0])
	var a, b unix.Stat_t
	if unix.Fstat(descriptors[0], &a) != nil || unix.Fstat(int(master.Fd()), &b) != nil || a.Ino != b.Ino {
		t.Fatal("another file came")
	}
}

func TestConsoleThatNeverCameLeavesTheShimsSocketAlone(t *testing.T) {
	folder := t.TempDir()
	shim, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(folder, "pty.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer shim.Close()
	for name, act := range map[string]func(path string){
		"nobody": func(string) {},
		"silent": func(path string) {
			connection, err := net.Dial("unix", path)
			if err == nil {
				_ = connection.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			relay, err := listenForConsole(folder, "id", filepath.Join(folder, "pty.sock"))
			if err != nil {
				t.Fatal(err)
			}
			act(relay.path)
			if err := relay.Forward(time.Now().Add(50 * time.Millisecond)); err == nil {
				t.Fatal("no terminal came")
			}
			if err := relay.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(relay.path); err == nil {
				t.Fatal("the socket stays")
			}
			_ = shim.SetDeadline(time.Now().Add(20 * time.Millisecond))
			if _, err := shim.Accept(); err == nil {
				t.Fatal("the shim was called")
			}
		})
	}
}
