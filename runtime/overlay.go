package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Overlay is a container's root file system as containerd's shim mounts it: an overlay whose upper folder is this
// container's alone, and empty before the container begins. So there is a way back from a half-restored root: empty the
// upper folder and mount the same again.
type Overlay struct {
	Point  string
	Source string
	Flags  uintptr
	// Data are the mount's options as they are given to mount(2).
	Data  string
	Upper string
	Work  string
	// Base is the folder that relative lower folders start from; "" where all are absolute.
	Base string
}

// findOverlay understands the mount at `point`, or says what it does not understand; then nothing may be changed there.
func findOverlay(mounts []Mount, point string) (*Overlay, error) {
	var found *Mount
	for at := range mounts {
		switch {
		case below(mounts[at].Point, point):
			return nil, fmt.Errorf("%s is mounted inside", mounts[at].Point)
		case mounts[at].Point != point:
		case found != nil:
			return nil, errors.New("there are two mounts, one over the other")
		default:
			found = &mounts[at]
		}
	}
	switch {
	case found == nil:
		return nil, errors.New("nothing is mounted there")
	case found.Type != "overlay":
		return nil, fmt.Errorf("the file system is %s", found.Type)
	case found.Root != "/":
		return nil, errors.New("it is a part of an overlay")
	}
	flags, err := mountFlags(found.Options)
	if err != nil {
		return nil, err
	}
	overlay := &Overlay{Point: point, Source: found.Source, Flags: flags}
	if err := overlay.readOptions(found.Super); err != nil {
		return nil, err
	}
	return overlay, nil
}

// mountFlags turns a mount's options into mount(2)'s flags.
func mountFlags(options string) (uintptr, error) {
	var flags uintptr
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "rw":
		case "nosuid":
			flags |= unix.MS_NOSUID
		case "nodev":
			flags |= unix.MS_NODEV
		case "noexec":
			flags |= unix.MS_NOEXEC
		case "noatime":
			flags |= unix.MS_NOATIME
		case "nodiratime":
			flags |= unix.MS_NODIRATIME
		case "relatime":
			flags |= unix.MS_RELATIME
		default:
			return 0, fmt.Errorf("the mount's option %.100q is not known here", option)
		}
	}
	return flags, nil
}

// readOptions reads what overlayfs says of itself (fs/overlayfs/params.c, ovl_show_options). Anything unknown ends it:
// a mount that is not the very same as before is no way back.
func (overlay *Overlay) readOptions(super string) error {
	var data, lower []string
	for option := range strings.SplitSeq(super, ",") {
		name, escaped, _ := strings.Cut(option, "=")
		text := unescape(escaped)
		if strings.ContainsAny(text, `,\"`) {
			return fmt.Errorf("the overlay's option %.100q has characters that mount(2) would read otherwise", option)
		}
		switch name {
		case "rw", "seclabel":
			// A flag, and what SELinux says of any file system that keeps labels.
		case "lowerdir":
			lower = append(lower, strings.Split(text, ":")...)
		case "lowerdir+":
			if strings.Contains(text, ":") {
				return fmt.Errorf("the overlay's lower folder %.200q has a colon", text)
			}
			lower = append(lower, text)
		case "upperdir":
			overlay.Upper = text
			data = append(data, option)
		case "workdir":
			overlay.Work = text
			data = append(data, option)
		case "index", "xino", "metacopy", "redirect_dir", "nfs_export", "uuid", "userxattr", "volatile", "fsync",
			"default_permissions", "verity", "context", "fscontext", "defcontext", "rootcontext":
			if escaped == "" {
				data = append(data, name)
			} else {
				data = append(data, name+"="+text)
			}
		default:
			return fmt.Errorf("the overlay's option %.100q is not known here", option)
		}
	}
	if err := overlay.checkFolders(lower); err != nil {
		return err
	}
	overlay.Data = strings.Join(append(data, "lowerdir="+strings.Join(lower, ":")), ",")
	// mount(2) takes a page at most; containerd keeps below it by relative names, which are kept here.
	if len(overlay.Data) >= os.Getpagesize() {
		return errors.New("the overlay's options are too long")
	}
	return nil
}

// checkFolders wants the folders to be what containerd makes: upper and work beside each other, and lower ones either
// absolute or relative to the folder of all snapshots (containerd's mount changes into the common folder of the lower
// ones where their names would be too long: core/mount/mount_linux.go, compactLowerdirOption).
func (overlay *Overlay) checkFolders(lower []string) error {
	for _, folder := range []string{overlay.Upper, overlay.Work} {
		info, err := os.Lstat(folder)
		if !filepath.IsAbs(folder) || filepath.Clean(folder) != folder || err != nil || !info.IsDir() {
			return fmt.Errorf("the overlay's folder %.200q is not clear", folder)
		}
	}
	own := filepath.Dir(overlay.Upper)
	if overlay.Upper == overlay.Work || filepath.Dir(overlay.Work) != own || filepath.Dir(own) == "/" {
		return fmt.Errorf("the overlay's folders %.200q and %.200q are not one snapshot's", overlay.Upper, overlay.Work)
	}
	if len(lower) == 0 {
		return errors.New("the overlay has no lower folder")
	}
	for _, folder := range lower {
		if folder == "" {
			return errors.New("the overlay has a lower folder without a name")
		}
		if !filepath.IsAbs(folder) {
			overlay.Base = filepath.Dir(own)
			folder = filepath.Join(overlay.Base, folder)
		}
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return fmt.Errorf("the overlay's lower folder %.200q is not found", folder)
		}
	}
	return nil
}

// untouched says whether the container has changed nothing yet. Only then is all that will be there ours to remove.
func (overlay *Overlay) untouched() (bool, error) {
	entries, err := os.ReadDir(overlay.Upper)
	if err != nil {
		return false, fmt.Errorf("the overlay's upper folder: %w", err)
	}
	return len(entries) == 0, nil
}

// reset takes the root file system back to the image's.
func (overlay *Overlay) reset() error {
	if err := unmountPatiently(overlay.Point); err != nil {
		return fmt.Errorf("unmount the root file system: %w", err)
	}
	for _, folder := range []string{overlay.Upper, overlay.Work} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return fmt.Errorf("empty the overlay: %w", err)
		}
		for _, entry := range entries {
			if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
				return fmt.Errorf("empty the overlay: %w", err)
			}
		}
	}
	if err := mountFrom(overlay.Base, overlay.Source, overlay.Point, overlay.Flags, overlay.Data); err != nil {
		return fmt.Errorf("mount the root file system again: %w", err)
	}
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	again, err := findOverlay(mounts, overlay.Point)
	if err != nil {
		return fmt.Errorf("the root file system after its undo: %w", err)
	}
	if again.Upper != overlay.Upper {
		return fmt.Errorf("the root file system's upper folder is %s, it was %s", again.Upper, overlay.Upper)
	}
	return nil
}

// unmountPatiently waits for the last user of a mount to go, a process that was killed a moment ago. A mount that stays
// busy is taken out of the tree; no one is left who would write to it.
func unmountPatiently(point string) error {
	for range 50 {
		err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW)
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return unix.Unmount(point, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
}

// mountFrom mounts an overlay with `base` as the working folder, in a thread that ends with it: the working folder is
// the process's otherwise.
func mountFrom(base, source, point string, flags uintptr, data string) error {
	if base == "" {
		return unix.Mount(source, point, "overlay", flags, data)
	}
	done := make(chan error, 1)
	go func() {
		// Never unlocked, so that the thread is not used again.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Chdir(base)
		}
		if err == nil {
			err = unix.Mount(source, point, "overlay", flags, data)
		}
		done <- err
	}()
	return <-done
}
