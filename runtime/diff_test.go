package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

type member struct {
	header  tar.Header
	content string
}

func file(name, content string) member {
	return member{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}, content}
}

func folder(name string) member {
	return member{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

func symlink(name, target string) member {
	return member{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}, ""}
}

func hardlink(name, target string) member {
	return member{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target, Mode: 0o644}, ""}
}

func tarOf(t *testing.T, members ...member) []byte {
	t.Helper()
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, member := range members {
		header := member.header
		if header.Format == 0 {
			header.Format = tar.FormatPAX
		}
		if err := writer.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write([]byte(member.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// diffOnto plans and applies a difference to a root file system; outside lies beside it.
func diffOnto(t *testing.T, root string, data []byte) (*diffPlan, error) {
	t.Helper()
	image := &Image{Path: t.TempDir()}
	if err := os.WriteFile(image.diff(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return applyImage(t, root, image)
}

func applyImage(t *testing.T, root string, image *Image) (*diffPlan, error) {
	t.Helper()
	open, err := openRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	plan, err := planDiff(context.Background(), image, open)
	if err != nil {
		return nil, err
	}
	return plan, applyDiff(context.Background(), image, plan, open)
}

func TestApplyMakesWhatTheDifferenceHas(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	write(t, filepath.Join(root, "etc/old"), "old")
	write(t, filepath.Join(root, "was/a/folder"), "x")
	if err := os.Symlink("elsewhere", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	then := time.Unix(1_700_000_000, 0)
	setuid := file("bin/tool", "#!")
	setuid.header.Mode, setuid.header.Uid, setuid.header.Gid, setuid.header.ModTime = 0o4755, 7, 8, then
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	setuid.header.PAXRecords = map[string]string{
		"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.note": "kept", "SCHILY.xattr.security.selinux": "dropped",
	}
	sticky := folder("var/spool/")
	sticky.header.Mode, sticky.header.ModTime, sticky.header.Uid = 0o1777, then, 9
	pipe := member{tar.Header{Name: "var/spool/pipe", Typeflag: tar.TypeFifo, Mode: 0o620, Uid: 5, ModTime: then}, ""}
	link := symlink("var/spool/link", "/etc/shadow")
	link.header.Uid, link.header.ModTime = 6, then
	plan, err := diffOnto(t, root, tarOf(t,
		folder("etc/"), file("etc/old", "new"), file("./etc/fresh", strings.Repeat("y", 100_000)),
		file("deep/below/here", "h"), setuid, sticky, pipe, link, hardlink("var/spool/same", "etc/fresh"),
		file("was", "a file now"), folder("link/"), file("link/inside", "i"), hardlink("hard", "etc/old")))
	if err != nil {
		t.Fatal(err)
	}
	if plan.Members != 13 || plan.Bytes != 3+100_000+1+2+10+1 {
		t.Fatalf("%+v", plan)
	}
	for name, want := range map[string]string{
		"etc/old": "new", "deep/below/here": "h", "was": "a file now", "link/inside": "i", "hard": "new",
	} {
		if got := read(t, filepath.Join(root, name)); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, want := range map[string]struct {
		mode     uint32
		uid, gid uint32
		time     int64
	}{
		"bin/tool":       {unix.S_IFREG | 0o4755, 7, 8, then.Unix()},
		"var/spool":      {unix.S_IFDIR | 0o1777, 9, 0, then.Unix()},
		"var/spool/pipe": {unix.S_IFIFO | 0o620, 5, 0, then.Unix()},
		"var/spool/link": {unix.S_IFLNK | 0o777, 6, 0, then.Unix()},
	} {
		var stat unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, name), &stat); err != nil {
			t.Fatal(err)
		}
		if stat.Mode != want.mode || stat.Uid != want.uid || stat.Gid != want.gid || stat.Mtim.Sec != want.time {
			t.Errorf("%s: mode %o owner %d:%d time %d", name, stat.Mode, stat.Uid, stat.Gid, stat.Mtim.Sec)
		}
	}
	var a, b unix.Stat_t
	if err := errors.Join(unix.Stat(filepath.Join(root, "etc/fresh"), &a), unix.Stat(filepath.Join(root, "var/spool/same"), &b)); err != nil || a.Ino != b.Ino {
		t.Error("the hard link is another file", err)
	}
	value := make([]byte, 100)
	if size, err := unix.Getxattr(filepath.Join(root, "bin/tool"), "security.capability", value); err != nil || string(value[:size]) != capability {
		t.Errorf("%q %v", value[:max(size, 0)], err)
	}
	if _, err := unix.Getxattr(filepath.Join(root, "bin/tool"), "user.note", value); err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Error(err)
	}
}

func TestWhiteouts(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	for _, name := range []string{"a/one", "a/two/below", "b/x", "b/y/z", "c/keep", "d"} {
		write(t, filepath.Join(root, name), "image's")
	}
	outside := write(t, filepath.Join(t.TempDir(), "outside"), "safe")
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(root, "b", "out")); err != nil {
		t.Fatal(err)
	}
	_, err := diffOnto(t, root, tarOf(t,
		file("a/.wh.one", ""), file("a/.wh.two", ""), file("a/two", "a file instead"),
		file("b/new", "kept"), file("b/.wh..wh..opq", ""), file(".wh.d", ""), file("nowhere/.wh.x", ""), file(".wh.missing", "")))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"a/one": false, "a/two": true, "b/x": false, "b/y": false, "b/out": false, "b/new": true, "c/keep": true, "d": false, "nowhere": false,
	} {
		if _, err := os.Lstat(filepath.Join(root, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if read(t, outside) != "safe" {
		t.Error("a link was followed")
	}
}

func TestDeletedFilesOfCrio(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "etc/gone"), "x")
	if _, err := applyImage(t, root, &Image{Path: t.TempDir(), Deleted: []string{"/etc/gone", "never/was"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(root, "etc/gone")); err == nil {
		t.Fatal("still there")
	}
	for _, name := range []string{"/", "..", "/../x", ""} {
		_, err := applyImage(t, root, &Image{Path: t.TempDir(), Deleted: []string{name}})
		reasonIs(t, err, RootfsDiffRefused)
	}
}

func TestGzipIsReadAsContainerdWritesIt(t *testing.T) {
	root := t.TempDir()
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(tarOf(t, file("a", "from gzip"))); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := diffOnto(t, root, packed.Bytes()); err != nil {
		t.Fatal(err)
	}
	if read(t, filepath.Join(root, "a")) != "from gzip" {
		t.Fatal("other content")
	}
	_, err := diffOnto(t, root, packed.Bytes()[:packed.Len()/2])
	reasonIs(t, err, RootfsDiffRefused)
	_, err = diffOnto(t, root, []byte("\x28\xb5\x2f\xfd and so on"))
	reasonIs(t, err, RootfsDiffRefused)
}

// hostile differences are refused before anything is touched.
func TestHostileDifferencesTouchNothing(t *testing.T) {
	typed := func(name string, kind byte) member {
		return member{tar.Header{Name: name, Typeflag: kind, Mode: 0o600}, ""}
	}
	attribute := func(name string) member {
		entry := file("f", "")
		entry.header.PAXRecords = map[string]string{"SCHILY.xattr." + name: "y"}
		return entry
	}
	huge := tarOf(t, file("first", "1"), file("huge", ""))
	// The size of the second member, in base 256: an exabyte.
	copy(huge[1024+124:], []byte{0x80, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0})
	fixChecksum(huge[1024 : 1024+512])
	for name, data := range map[string][]byte{
		"climbs":                     tarOf(t, file("first", "1"), file("a/../../escape", "x")),
		"is absolute":                tarOf(t, file("first", "1"), file("/escape", "x")),
		"has a name too long":        tarOf(t, file("first", "1"), file(strings.Repeat("n", 256), "x")),
		"writes through its link":    tarOf(t, file("first", "1"), symlink("s", "/tmp"), file("s/escape", "x")),
		"writes through the image's": tarOf(t, file("first", "1"), file("out/escape", "x")),
		"whiteouts through its link": tarOf(t, file("first", "1"), symlink("s", "/tmp"), file("s/sub/.wh..wh..opq/x", "")),
		"links out":                  tarOf(t, file("first", "1"), hardlink("h", "../escape")),
		"links out absolutely":       tarOf(t, file("first", "1"), hardlink("h", "/etc/passwd")),
		"links through a link":       tarOf(t, file("first", "1"), hardlink("h", "out/secret")),
		"links to a folder":          tarOf(t, file("first", "1"), hardlink("h", "dir")),
		"links to nothing":           tarOf(t, file("first", "1"), hardlink("h", "nothing")),
		"links to itself":            tarOf(t, file("first", "1"), hardlink("h", "h")),
		"has a device":               tarOf(t, file("first", "1"), typed("null", tar.TypeChar)),
		"has a disk":                 tarOf(t, file("first", "1"), typed("sda", tar.TypeBlock)),
		"has a global header":        tarOf(t, file("first", "1"), member{tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"a": "b"}}, ""}),
		"has an unknown type":        tarOf(t, file("first", "1"), typed("seven", tar.TypeCont)),
		"steers overlayfs":           tarOf(t, file("first", "1"), attribute("trusted.overlay.redirect")),
		"steers overlayfs as a user": tarOf(t, file("first", "1"), attribute("user.overlay.opaque")),
		"sets an access list":        tarOf(t, file("first", "1"), attribute("system.posix_acl_access")),
		"names a file twice":         tarOf(t, file("first", "1"), file("first", "2")),
		"makes its folder a file":    tarOf(t, file("first", "1"), file("x/y", "1"), file("x", "2")),
		"lies in its file":           tarOf(t, file("first", "1"), file("first/second", "2")),
		"whites out nothing":         tarOf(t, file("first", "1"), file(".wh.", "")),
		"whites out the folder":      tarOf(t, file("first", "1"), file(".wh..", "")),
		"whites out above":           tarOf(t, file("first", "1"), file("dir/.wh...", "")),
		"has another whiteout":       tarOf(t, file("first", "1"), file(".wh..wh.plnk", "")),
		"has a full whiteout":        tarOf(t, file("first", "1"), file(".wh.first", "content")),
		"lies in a whiteout":         tarOf(t, file("first", "1"), file(".wh.dir/x", "")),
		"is huge":                    huge,
		"is cut off":                 tarOf(t, file("first", strings.Repeat("1", 5000)))[:2000],
		"is no tar":                  bytes.Repeat([]byte("garbage "), 200),
	} {
		t.Run(name, func(t *testing.T) {
			root, outside := t.TempDir(), t.TempDir()
			write(t, filepath.Join(outside, "secret"), "s")
			write(t, filepath.Join(root, "dir", "file"), "f")
			if err := os.Symlink(outside, filepath.Join(root, "out")); err != nil {
				t.Fatal(err)
			}
			before := listing(t, root) + listing(t, outside)
			_, err := diffOnto(t, root, data)
			reasonIs(t, err, RootfsDiffRefused)
			if after := listing(t, root) + listing(t, outside); after != before {
				t.Fatalf("before:\n%safter:\n%s", before, after)
			}
		})
	}
}

func TestSparseMembersAreRefused(t *testing.T) {
	root, err := openRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	planner := &planner{root: root, made: map[string]bool{}, explicit: map[string]bool{}}
	reasonIs(t, planner.look(&tar.Header{Name: "a", Typeflag: tar.TypeGNUSparse}), RootfsDiffRefused)
	reasonIs(t, planner.look(&tar.Header{Name: "a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"GNU.sparse.major": "1"}}), RootfsDiffRefused)
	reasonIs(t, planner.look(&tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: maxDiffBytes + 1}), RootfsDiffRefused)
}

func TestApplyStopsAtTheDeadline(t *testing.T) {
	image := &Image{Path: t.TempDir()}
	if err := os.WriteFile(image.diff(), tarOf(t, file("a", "1")), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := openRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	_, err = planDiff(ctx, image, root)
	reasonIs(t, err, DeadlineExceeded)
	reasonIs(t, applyDiff(ctx, image, &diffPlan{}, root), DeadlineExceeded)
}

func TestSpaceIsCheckedBefore(t *testing.T) {
	reasonIs(t, (&diffPlan{Bytes: 1 << 62}).checkSpace(t.TempDir()), DiskFull)
	if err := (&diffPlan{Bytes: 1}).checkSpace(t.TempDir()); err != nil {
		t.Fatal(err)
	}
}

func TestNoDifferenceIsNone(t *testing.T) {
	plan, err := applyImage(t, t.TempDir(), &Image{Path: t.TempDir()})
	if err != nil || !plan.empty() {
		t.Fatal(plan, err)
	}
	plan, err = diffOnto(t, t.TempDir(), tarOf(t, folder("./")))
	if err != nil || !plan.empty() {
		t.Fatal(plan, err)
	}
}

func listing(t *testing.T, root string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s %s %d %d\n", path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func fixChecksum(header []byte) {
	copy(header[148:156], "        ")
	sum := 0
	for _, char := range header {
		sum += int(char)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func FuzzCleanName(f *testing.F) {
	for _, name := range []string{"a/b", "./a//b/", "../a", "/a", "a/./b", ".", ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean, err := cleanName(name)
		if err != nil || clean == "" {
			return
		}
		if !filepath.IsLocal(clean) || filepath.Clean(clean) != clean {
			t.Fatalf("%q became %q", name, clean)
		}
	})
}
