package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// applyDiff brings the image's changes into a root file system: first what goes, then what comes. Whiteouts mean what
// the image has, wherever they stand in the tar, so that order is right (OCI image specification, layer.md). It may
// fail in the middle; the caller has a way back.
func applyDiff(ctx context.Context, image *Image, plan *diffPlan, root *rootDir) error {
	if err := removeDeleted(ctx, plan, root); err != nil {
		return err
	}
	diff, err := openDiff(ctx, image.diff())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer diff.Close()
	var folders []folderTime
	applier := &applier{root: root, fd: -1}
	defer applier.leave()
	for {
		header, err := diff.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name, err := cleanName(header.Name)
		if err != nil {
			return err
		}
		folder, base := splitName(name)
		if name == "" || len(base) >= len(whiteoutPrefix) && base[:len(whiteoutPrefix)] == whiteoutPrefix {
			continue
		}
		if err := applier.apply(diff, header, folder, base); err != nil {
			return fmt.Errorf("apply %.200q: %w", name, err)
		}
		if header.Typeflag == tar.TypeDir {
			folders = append(folders, folderTime{name, header.ModTime})
		}
	}
	// A folder's time changes with its content, so it is set when all is there.
	for at := len(folders) - 1; at >= 0; at-- {
		if err := applier.setFolderTime(folders[at]); err != nil {
			return fmt.Errorf("apply %.200q: %w", folders[at].name, err)
		}
	}
	return nil
}

// removeDeleted does the whiteouts. A folder that is not there, or no folder, holds nothing to remove.
func removeDeleted(ctx context.Context, plan *diffPlan, root *rootDir) error {
	nothing := func(err error) bool {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
	}
	remove := func(folder string, which func(fd int) ([]string, error)) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		fd, err := root.open(folder)
		if nothing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		bases, err := which(fd)
		if err != nil {
			return err
		}
		for _, base := range bases {
			if err := removeAt(fd, base); err != nil {
				return fmt.Errorf("remove %.200q in %.200q: %w", base, folder, err)
			}
		}
		return nil
	}
	for _, folder := range plan.Opaque {
		if err := remove(folder, namesAt); err != nil {
			return err
		}
	}
	for _, name := range plan.Deleted {
		folder, base := splitName(name)
		if err := remove(folder, func(int) ([]string, error) { return []string{base}, nil }); err != nil {
			return err
		}
	}
	return nil
}

type folderTime struct {
	name string
	time time.Time
}

// applier keeps the folder of the last member open: a difference lists a folder's content together.
type applier struct {
	root   *rootDir
	folder string
	fd     int
}

func (applier *applier) enter(folder string) (int, error) {
	if applier.fd >= 0 && applier.folder == folder {
		return applier.fd, nil
	}
	applier.leave()
	fd, err := applier.root.make(folder)
	if err != nil {
		return -1, err
	}
	applier.folder, applier.fd = folder, fd
	return fd, nil
}

func (applier *applier) leave() {
	if applier.fd >= 0 {
		_ = unix.Close(applier.fd)
		applier.fd = -1
	}
}

// apply makes one member. Whatever has its name goes first, except a folder where a folder comes.
func (applier *applier) apply(content io.Reader, header *tar.Header, folder, base string) error {
	fd, err := applier.enter(folder)
	if err != nil {
		return err
	}
	kind, err := kindAt(fd, base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case kind == unix.S_IFDIR && header.Typeflag == tar.TypeDir:
		return applyFolder(fd, base, header)
	default:
		if err := removeAt(fd, base); err != nil {
			return err
		}
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if err := unix.Mkdirat(fd, base, 0o700); err != nil {
			return err
		}
		return applyFolder(fd, base, header)
	case tar.TypeReg:
		return applyFile(fd, base, header, content)
	case tar.TypeSymlink:
		if err := unix.Symlinkat(header.Linkname, fd, base); err != nil {
			return err
		}
		if err := unix.Fchownat(fd, base, header.Uid, header.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		return setTime(fd, base, header.ModTime)
	case tar.TypeFifo:
		if err := unix.Mknodat(fd, base, unix.S_IFIFO|0o600, 0); err != nil {
			return err
		}
		if err := unix.Fchownat(fd, base, header.Uid, header.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		// The name was made a moment ago, in a root that nothing runs in.
		if err := unix.Fchmodat(fd, base, permissions(header), 0); err != nil {
			return err
		}
		return setTime(fd, base, header.ModTime)
	case tar.TypeLink:
		return applier.link(fd, base, header.Linkname)
	}
	return fmt.Errorf("type %q", header.Typeflag)
}

func applyFolder(fd int, base string, header *tar.Header) error {
	own, err := unix.Openat(fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(own)
	return setRights(own, header)
}

func applyFile(fd int, base string, header *tar.Header, content io.Reader) error {
	own, err := unix.Openat(fd, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(own), base)
	defer file.Close()
	written, err := io.Copy(file, content)
	if err != nil {
		return err
	}
	if written != header.Size {
		return fmt.Errorf("%d bytes instead of %d", written, header.Size)
	}
	if err := setRights(own, header); err != nil {
		return err
	}
	if err := setTime(fd, base, header.ModTime); err != nil {
		return err
	}
	return file.Close()
}

// link makes a hard link. linkat without AT_SYMLINK_FOLLOW takes a link's own name, never what it points to.
func (applier *applier) link(fd int, base, target string) error {
	other, err := cleanName(target)
	if err != nil {
		return err
	}
	folder, otherBase := splitName(other)
	from, err := applier.root.open(folder)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	return unix.Linkat(from, otherBase, fd, base, 0)
}

// setRights sets owner, then mode, then attributes: a change of owner clears setuid and security.capability.
func setRights(own int, header *tar.Header) error {
	if err := unix.Fchown(own, header.Uid, header.Gid); err != nil {
		return err
	}
	if err := unix.Fchmod(own, permissions(header)); err != nil {
		return err
	}
	for record, text := range header.PAXRecords {
		if len(record) <= len(xattrRecord) || record[:len(xattrRecord)] != xattrRecord {
			continue
		}
		attribute := record[len(xattrRecord):]
		if attributeUse(attribute) != attributeKept {
			continue
		}
		err := unix.Fsetxattr(own, attribute, []byte(text), 0)
		// A file system without user attributes lacks them in a cold container as well; capabilities must not get lost.
		if errors.Is(err, unix.ENOTSUP) && attribute != "security.capability" {
			continue
		}
		if err != nil {
			return fmt.Errorf("attribute %q: %w", attribute, err)
		}
	}
	return nil
}

// permissions are the mode's bits with setuid, setgid and sticky, as the tar has them.
func permissions(header *tar.Header) uint32 {
	return uint32(header.Mode) & 0o7777
}

func setTime(fd int, base string, moment time.Time) error {
	stamp, err := unix.TimeToTimespec(moment)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(fd, base, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
}

func (applier *applier) setFolderTime(folder folderTime) error {
	above, base := splitName(folder.name)
	fd, err := applier.enter(above)
	if err != nil {
		return err
	}
	return setTime(fd, base, folder.time)
}
