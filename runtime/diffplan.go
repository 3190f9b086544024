package main

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// A container that changed a million files is no candidate for a fast start, and the names are kept in memory.
	maxMembers = 1_000_000
	// maxDiffBytes bounds what a compressed difference may grow to. Free space bounds it as well.
	maxDiffBytes = 64 << 30
	maxXattr     = 64 << 10

	// Whiteouts as OCI's image specification has them (layer.md).
	whiteoutPrefix = ".wh."
	opaqueWhiteout = ".wh..wh..opq"
	xattrRecord    = "SCHILY.xattr."
)

// diffPlan is what a difference will do, once all of it has been looked at and nothing is refused.
type diffPlan struct {
	// Deleted are files and folders that go, Opaque are folders whose content goes; both mean what the image has, not
	// what the difference brings.
	Deleted []string
	Opaque  []string
	Members int
	Bytes   int64
}

// empty says that the root file system stays as the image has it.
func (plan *diffPlan) empty() bool {
	return len(plan.Deleted) == 0 && len(plan.Opaque) == 0 && plan.Members == 0
}

// planner looks at a difference without touching anything.
type planner struct {
	root *rootDir
	plan diffPlan
	// made are the members' names, true for folders, with the folders that members lie in.
	made map[string]bool
	// explicit are the names that stand as members.
	explicit map[string]bool
}

// planDiff reads the whole difference and refuses it if any of it must not be applied; the root file system is read,
// to find what a name would lead through.
func planDiff(ctx context.Context, image *Image, root *rootDir) (*diffPlan, error) {
	planner := &planner{root: root, made: map[string]bool{}, explicit: map[string]bool{}}
	for _, name := range image.Deleted {
		// CRI-O writes absolute paths.
		clean, err := cleanName(strings.TrimPrefix(name, "/"))
		if err != nil || clean == "" {
			return nil, refuse(RootfsDiffRefused, "deleted.files names %.200q", name)
		}
		planner.plan.Deleted = append(planner.plan.Deleted, clean)
	}
	diff, err := openDiff(ctx, image.diff())
	if errors.Is(err, fs.ErrNotExist) {
		return &planner.plan, nil
	}
	if err != nil {
		return nil, err
	}
	defer diff.Close()
	for count := 0; ; count++ {
		header, err := diff.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if count == maxMembers {
			return nil, refuse(RootfsDiffRefused, "rootfs-diff.tar has more than %d members", maxMembers)
		}
		if err := planner.look(header); err != nil {
			return nil, err
		}
	}
	return &planner.plan, nil
}

// look checks one member.
func (planner *planner) look(header *tar.Header) error {
	name, err := cleanName(header.Name)
	if err != nil {
		return refuse(RootfsDiffRefused, "rootfs-diff.tar: %v", err)
	}
	if err := checkRecords(name, header); err != nil {
		return err
	}
	if name == "" && header.Typeflag == tar.TypeDir {
		// The root itself; containerd leaves it out, and a pod's root keeps the mode of its image.
		return nil
	}
	folder, base := splitName(name)
	if strings.Contains("/"+folder, "/"+whiteoutPrefix) {
		return refuse(RootfsDiffRefused, "rootfs-diff.tar: %.200q lies in a whiteout", name)
	}
	if strings.HasPrefix(base, whiteoutPrefix) {
		return planner.lookWhiteout(header, folder, base)
	}
	if err := planner.checkFolder(folder); err != nil {
		return err
	}
	isFolder := header.Typeflag == tar.TypeDir
	if known, ok := planner.made[name]; ok && !(known && isFolder) || planner.explicit[name] && !isFolder {
		return refuse(RootfsDiffRefused, "rootfs-diff.tar: %.200q stands twice", name)
	}
	switch header.Typeflag {
	case tar.TypeReg:
		if header.Size < 0 || header.Size > maxDiffBytes-planner.plan.Bytes {
			return refuse(RootfsDiffRefused, "rootfs-diff.tar: more than %d bytes", int64(maxDiffBytes))
		}
		planner.plan.Bytes += header.Size
	case tar.TypeLink:
		if err := planner.checkLink(name, header.Linkname); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if header.Linkname == "" || len(header.Linkname) > 4095 {
			return refuse(RootfsDiffRefused, "rootfs-diff.tar: %.200q points to nothing", name)
		}
	case tar.TypeDir, tar.TypeFifo:
	default:
		return refuse(RootfsDiffRefused, "rootfs-diff.tar: %.200q is of type %q", name, header.Typeflag)
	}
	planner.made[name] = isFolder
	planner.explicit[name] = true
	planner.plan.Members++
	return nil
}

func (planner *planner) lookWhiteout(header *tar.Header, folder, base string) error {
	if header.Typeflag != tar.TypeReg || header.Size != 0 {
		return refuse(RootfsDiffRefused, "rootfs-diff.tar: the whiteout %.200q is no empty file", base)
	}
	if base == opaqueWhiteout {
		planner.plan.Opaque = append(planner.plan.Opaque, folder)
		planner.plan.Members++
		return nil
	}
	target := strings.TrimPrefix(base, whiteoutPrefix)
	if target == "" || target == "." || target == ".." || strings.HasPrefix(target, whiteoutPrefix) {
		return refuse(RootfsDiffRefused, "rootfs-diff.tar: the whiteout %.200q names no file", base)
	}
	planner.plan.Deleted = append(planner.plan.Deleted, path.Join(folder, target))
	planner.plan.Members++
	return nil
}

// checkFolder wants the folder that a member lies in to be one: made by the difference, or there in the root file
// system without a link on the way, or missing altogether.
func (planner *planner) checkFolder(folder string) error {
	if folder == "" {
		return nil
	}
	if isFolder, ok := planner.made[folder]; ok {
		if !isFolder {
			return refuse(RootfsDiffRefused, "rootfs-diff.tar: a member lies below %.200q, which is no folder", folder)
		}
		return nil
	}
	parent, _ := splitName(folder)
	if err := planner.checkFolder(parent); err != nil {
		return err
	}
	if err := planner.root.checkFolder(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return refuse(RootfsDiffRefused, "rootfs-diff.tar: %.200q cannot be entered: %v", folder, err)
	}
	planner.made[folder] = true
	return nil
}

// checkLink wants a hard link's other name to be in the difference already or in the image, and to be no folder.
func (planner *planner) checkLink(name, target string) error {
	other, err := cleanName(target)
	if err != nil || other == "" || other == name {
		return refuse(RootfsDiffRefused, "rootfs-diff.tar: %.200q is a link to %.200q", name, target)
	}
	if isFolder, ok := planner.made[other]; ok {
		if isFolder {
			return refuse(RootfsDiffRefused, "rootfs-diff.tar: %.200q is a link to a folder", name)
		}
		return nil
	}
	mode, err := planner.root.kind(other)
	if err != nil || mode == unix.S_IFDIR || mode == unix.S_IFCHR || mode == unix.S_IFBLK {
		return refuse(RootfsDiffRefused, "rootfs-diff.tar: %.200q is a link to %.200q, which is no file", name, target)
	}
	return nil
}

// checkRecords refuses extended attributes that reach beyond the file (trusted.*, those of overlayfs), and holes: the
// size that a sparse member says is not what the archive holds.
func checkRecords(name string, header *tar.Header) error {
	for record, text := range header.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			return refuse(RootfsDiffRefused, "rootfs-diff.tar: %.200q is sparse", name)
		}
		attribute, ok := strings.CutPrefix(record, xattrRecord)
		if ok && (attributeUse(attribute) == attributeRefused || len(text) > maxXattr) {
			return refuse(RootfsDiffRefused, "rootfs-diff.tar: %.200q has the attribute %.100q", name, attribute)
		}
	}
	return nil
}

type attributeRule int

const (
	attributeRefused attributeRule = iota
	attributeKept
	attributeDropped
)

// attributeUse says what becomes of an extended attribute. Labels and measurements belong to the node and the new pod,
// not to the frozen one.
func attributeUse(name string) attributeRule {
	switch {
	case name == "security.capability":
		return attributeKept
	case name == "security.selinux", name == "security.ima", name == "security.evm":
		return attributeDropped
	case strings.HasPrefix(name, "user.overlay."):
		return attributeRefused
	case strings.HasPrefix(name, "user."):
		return attributeKept
	}
	return attributeRefused
}

// checkSpace wants the difference to have room before anything is written.
func (plan *diffPlan) checkSpace(root string) error {
	var space unix.Statfs_t
	if err := unix.Statfs(root, &space); err != nil {
		return os.NewSyscallError("statfs", err)
	}
	// Each member takes a block of its own at least.
	needed := uint64(plan.Bytes) + uint64(plan.Members)*uint64(space.Bsize)
	if free := space.Bavail * uint64(space.Bsize); needed > free {
		return refuse(DiskFull, "The changes need %d bytes, the root file system has %d left", needed, free)
	}
	return nil
}
