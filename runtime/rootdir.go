package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// rootDir is a root file system, entered by names that cannot leave it: the kernel resolves them without following any
// link, without leaving the folder and without entering another mount. A container's own difference has real paths, so
// a link on the way is a sign of something else.
type rootDir struct {
	fd int
}

const resolveStrictly = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV |
	unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

func openRoot(path string) (*rootDir, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &rootDir{fd: fd}, nil
}

func (root *rootDir) Close() error {
	return unix.Close(root.fd)
}

// open opens a folder of the root; "" is the root.
func (root *rootDir) open(folder string) (int, error) {
	if folder == "" {
		folder = "."
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: resolveStrictly}
	for {
		fd, err := unix.Openat2(root.fd, folder, &how)
		// EAGAIN: something was renamed on the way (openat2(2)).
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "openat2", Path: folder, Err: err}
		}
		return fd, nil
	}
}

// checkFolder says whether the name is a folder that can be entered.
func (root *rootDir) checkFolder(folder string) error {
	fd, err := root.open(folder)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// make opens a folder, and makes it and those above it where they are missing: root's, 0755, as containerd does for
// folders that a layer leaves out.
func (root *rootDir) make(folder string) (int, error) {
	fd, err := root.open(folder)
	if !errors.Is(err, os.ErrNotExist) || folder == "" {
		return fd, err
	}
	above, base := splitName(folder)
	parent, err := root.make(above)
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	if err := unix.Mkdirat(parent, base, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, &os.PathError{Op: "mkdirat", Path: folder, Err: err}
	}
	return root.open(folder)
}

// kind is the file type bits of a name, of a link itself and not of what it points to.
func (root *rootDir) kind(name string) (uint32, error) {
	folder, base := splitName(name)
	fd, err := root.open(folder)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return kindAt(fd, base)
}

func kindAt(fd int, base string) (uint32, error) {
	var stat unix.Stat_t
	if err := unix.Fstatat(fd, base, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, &os.PathError{Op: "fstatat", Path: base, Err: err}
	}
	return stat.Mode & unix.S_IFMT, nil
}

// removeAt removes a name in an open folder, with all that is below; a missing one is no error. os.RemoveAll follows no
// link below the folder that it is given, and that is the open one.
func removeAt(fd int, base string) error {
	if base == "" || base == "." || base == ".." {
		return fmt.Errorf("remove %q: no name", base)
	}
	return os.RemoveAll(filepath.Join("/proc/self/fd", strconv.Itoa(fd), base))
}

// namesAt are the names in an open folder.
func namesAt(fd int) ([]string, error) {
	folder, err := os.Open(filepath.Join("/proc/self/fd", strconv.Itoa(fd)))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return folder.Readdirnames(-1)
}
