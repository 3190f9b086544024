package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// errNoNamespace means that a pod has gone, and its namespaces with it.
var errNoNamespace = errors.New("the namespace is not there")

// namespaceOf is the path of a namespace that the container joins; "" where it joins none of this kind.
func namespaceOf(spec *specs.Spec, kind specs.LinuxNamespaceType) string {
	if spec.Linux == nil {
		return ""
	}
	for _, namespace := range spec.Linux.Namespaces {
		if namespace.Type == kind {
			return namespace.Path
		}
	}
	return ""
}

// inNamespace calls something inside a namespace of a pod's; a child that it starts begins there as well.
func inNamespace(path string, kind int, act func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread stays in the namespace, and ends with the goroutine.
		runtime.LockOSThread()
		done <- enterAnd(path, kind, act)
	}()
	return <-done
}

func enterAnd(path string, kind int, act func() error) (err error) {
	// It runs in a goroutine of its own, where nobody else would catch it.
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("internal fault: %v", fault)
		}
	}()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%s: %w", path, errNoNamespace)
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, kind); err != nil {
		return fmt.Errorf("enter %s: %w", path, err)
	}
	return act()
}
