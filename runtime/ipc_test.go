package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// postgresSegments is what CRIU 4.2 wrote of a PostgreSQL whose dynamic_shared_memory_type is sysv.
const postgresSegments = "1943565444302846" +
	"1c0000000a16089 1a39c0510e70718e70720e70728e7073080033804103818 01" +
	"1f0000000a170890e288b30210e70718e70720e70728e70730800338 0510a8d4011801" +
	"1f0000000a1708ea9282f90410e70718e70720e70728e707308003380610808040 1801"

func segmentsFile(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSegmentsAreReadFromTheImage(t *testing.T) {
	whole := segmentsFile(t, postgresSegments)
	want := []segment{{4, 0xa71191}, {5, 0x2662_3110}, {6, 0x4f20_896a}}
	if got := parseSegments(whole); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	for end := range whole {
		if got := parseSegments(whole[:end]); !slices.Equal(got, want[:len(got)]) {
			t.Errorf("cut after %d bytes: %x", end, got)
		}
	}
}

// A segment of the image's goes if nobody has it attached; one that is in use stays, and all others do.
func TestUnattachedSegmentsAreRemoved(t *testing.T) {
	needRoot(t)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Its IPC namespace is thrown away with the thread.
		done <- clearOwnNamespace(t.TempDir())
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func clearOwnNamespace(folder string) error {
	if err := unix.Unshare(unix.CLONE_NEWIPC); err != nil {
		return err
	}
	const key, usedKey, otherKey = 0xa71191, 0x26623110, 0x77
	ids := map[int]int{}
	for _, each := range []int{key, usedKey, otherKey} {
		id, err := unix.SysvShmGet(each, 4096, unix.IPC_CREAT|unix.IPC_EXCL|0o600)
		if err != nil {
			return err
		}
		ids[each] = id
	}
	memory, err := unix.SysvShmAttach(ids[usedKey], 0, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.SysvShmDetach(memory) }()
	namespace := fmt.Sprintf("/proc/self/task/%d/ns/ipc", unix.Gettid())
	image := &Image{Path: folder}
	spec := &specs.Spec{Linux: &specs.Linux{
		Namespaces: []specs.LinuxNamespace{{Type: specs.IPCNamespace, Path: namespace}},
	}}
	if sharedMemoryOf(image, spec).clear() != nil {
		return errors.New("an image without segments clears nothing")
	}
	data, err := hex.DecodeString(strings.ReplaceAll(postgresSegments, " ", ""))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(image.checkpoint(), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(image.checkpoint(), "ipcns-shm-11.img"), data, 0o600); err != nil {
		return err
	}
	if err := sharedMemoryOf(image, spec).clear(); err != nil {
		return err
	}
	for each, there := range map[int]bool{key: false, usedKey: true, otherKey: true} {
		if _, err := unix.SysvShmGet(each, 0, 0); (err == nil) != there {
			return fmt.Errorf("segment %x: is there: %v, should be: %v", each, err == nil, there)
		}
	}
	return nil
}
