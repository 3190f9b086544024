package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketName is the room in sockaddr_un (unix(7)), less the final zero.
const maxSocketName = 107

// ConsoleRelay takes the terminal of a restored container and hands it to the shim once the restore has succeeded. The
// shim takes the first connection to its console socket and no other: had a failed restore connected to it, the
// container that is created cold afterwards would have no terminal.
type ConsoleRelay struct {
	listener *net.UnixListener
	path     string
	target   string
}

func consolePath(state, id string) string {
	return filepath.Join(state, id+".console")
}

func listenForConsole(state, id, target string) (*ConsoleRelay, error) {
	// Not in the bundle: containerd's path there is longer than a socket's name may be.
	path := consolePath(state, id)
	if len(path) > maxSocketName {
		return nil, fmt.Errorf("console socket: %s is too long a name", path)
	}
	_ = os.Remove(path)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("console socket: %w", err)
	}
	return &ConsoleRelay{listener: listener, path: path, target: target}, nil
}

// Close also removes the socket.
func (relay *ConsoleRelay) Close() error {
	return relay.listener.Close()
}

// Forward hands the terminal on. runc has sent it before it ended, so there is nothing to wait for but the kernel.
func (relay *ConsoleRelay) Forward(deadline time.Time) error {
	if err := relay.listener.SetDeadline(deadline); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	source, err := relay.listener.AcceptUnix()
	if err != nil {
		return fmt.Errorf("console: runc sent no terminal: %w", err)
	}
	defer source.Close()
	if err := source.SetDeadline(deadline); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	name, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	nameSize, rightsSize, _, _, err := source.ReadMsgUnix(name, rights)
	if err != nil {
		return fmt.Errorf("console: runc sent no terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rightsSize])
	if err != nil || len(messages) != 1 {
		return errors.New("console: runc sent no terminal")
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return fmt.Errorf("console: runc sent no terminal: %w", err)
	}
	for _, descriptor := range descriptors {
		defer unix.Close(descriptor)
	}
	dialer := net.Dialer{Deadline: deadline}
	target, err := dialer.Dial("unix", relay.target)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	defer target.Close()
	unixTarget, ok := target.(*net.UnixConn)
	if !ok {
		return errors.New("console: not a unix socket")
	}
	if _, _, err := unixTarget.WriteMsgUnix(name[:nameSize], unix.UnixRights(descriptors...), nil); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}
