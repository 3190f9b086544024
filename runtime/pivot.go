package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// pivotName is by way of which CRIU changes roots; without it, CRIU makes a folder of its own in the root, at a moment
// when a read-only root is read-only already (criu/mount.c, cr_pivot_root).
const pivotName = "tmp"

// PivotFolder is a folder that a read-only root lacks, for the time of a restore. To us that root can be written to.
type PivotFolder struct {
	root *rootDir
}

// makePivotFolder makes it where it is missing, and returns nil where there is nothing to make. Whatever else has the
// name, a link above all, is left as it is.
func makePivotFolder(rootfs string, spec *specs.Spec) (*PivotFolder, error) {
	if spec.Root == nil || !spec.Root.Readonly {
		return nil, nil
	}
	for _, mount := range spec.Mounts {
		// runc makes the folders of mounts.
		if path.Clean(mount.Destination) == "/"+pivotName {
			return nil, nil
		}
	}
	root, err := openRoot(rootfs)
	if err != nil {
		return nil, err
	}
	if _, err = root.kind(pivotName); errors.Is(err, fs.ErrNotExist) {
		err = unix.Mkdirat(root.fd, pivotName, 0o755)
		if err == nil {
			return &PivotFolder{root}, nil
		}
	}
	if closeErr := root.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("folder /%s for CRIU: %w", pivotName, err)
	}
	return nil, nil
}

// remove takes it away again. Only an empty folder goes.
func (folder *PivotFolder) remove() error {
	if folder == nil {
		return nil
	}
	err := unix.Unlinkat(folder.root.fd, pivotName, unix.AT_REMOVEDIR)
	if closeErr := folder.root.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("folder /%s for CRIU: %w", pivotName, err)
	}
	return nil
}
