package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// guest is what the container runs: it draws a token, keeps a count in memory, changes its root file system, holds a
// TCP connection, a file lock and a deleted open file, and tells all of it every few milliseconds.
func guest() {
	if len(os.Args) > 1 {
		leaveNothing()
	}
	_ = unix.Mkdir("/made", 0o750)
	must(os.WriteFile("/made/file", []byte("made"), 0o640))
	must(os.RemoveAll("/gone"))
	lock, err := os.OpenFile("/made/lock", os.O_CREATE|os.O_RDWR, 0o600)
	must(err)
	must(unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	deleted, err := os.CreateTemp("/made", "deleted")
	must(err)
	must(os.Remove(deleted.Name()))
	_, err = deleted.WriteString("deleted but open")
	must(err)
	// CRIU 4.2 knows no MPTCP, which Go's listeners use where the kernel has it.
	var plain net.ListenConfig
	plain.SetMultipathTCP(false)
	listener, err := plain.Listen(context.Background(), "tcp", "127.0.0.1:0")
	must(err)
	go func() {
		for {
			if connection, err := listener.Accept(); err == nil {
				go func() { _, _ = io.Copy(io.Discard, connection) }()
			}
		}
	}()
	connection, err := net.Dial("tcp", listener.Addr().String())
	must(err)
	_, _, uring := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)
	token := time.Now().UnixNano()
	for count := 0; ; count++ {
		_, writeErr := connection.Write([]byte("x"))
		content := make([]byte, 64)
		size, _ := deleted.ReadAt(content, 0)
		volume, _ := os.ReadFile("/volume/name")
		_, gone := os.Lstat("/gone")
		made, _ := os.ReadFile("/made/file")
		host, _ := os.Hostname()
		fmt.Printf("token=%d count=%d connected=%v uring=%d deleted=%q volume=%s gone=%v made=%s host=%s\n", token, count,
			writeErr == nil, uring, content[:size], volume, errors.Is(gone, os.ErrNotExist), made, host)
		time.Sleep(20 * time.Millisecond)
	}
}

// leaveNothing is a guest that changes no file: what its root holds, and whether it could be written to.
func leaveNothing() {
	token := time.Now().UnixNano()
	for count := 0; ; count++ {
		var names []string
		entries, err := os.ReadDir("/")
		must(err)
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		made := unix.Mkdir("/new", 0o700)
		processes, _ := os.ReadFile("/sys/fs/cgroup/pids/cgroup.procs")
		limit := os.WriteFile("/sys/fs/cgroup/pids/pids.max", []byte("max"), 0)
		fmt.Printf("token=%d count=%d root=%s read-only=%v own=%v limit=%v\n", token, count, strings.Join(names, ","),
			errors.Is(made, unix.EROFS), strings.HasPrefix(string(processes), "1\n"), errors.Is(limit, unix.EROFS))
		time.Sleep(20 * time.Millisecond)
	}
}

// pause holds a pod's network and UTS namespace, with its loopback up and its name.
func pause() {
	must(unix.Sethostname([]byte(os.Args[1])))
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(err)
	request, err := unix.NewIfreq("lo")
	must(err)
	request.SetUint16(unix.IFF_UP)
	must(unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request))
	fmt.Println("up")
	time.Sleep(time.Hour)
}

func must(err error) {
	if err != nil {
		fmt.Println("guest:", err)
		os.Exit(3)
	}
}
