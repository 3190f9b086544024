package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const privateMounts = "KSNAP_TEST_PRIVATE_MOUNTS"

// inPrivateMounts runs the calling test once more in a mount namespace of its own; true in there.
func inPrivateMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(privateMounts) == t.Name() {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	needRoot(t)
	command := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	command.Env = append(os.Environ(), privateMounts+"="+t.Name())
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS}
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if testing.Verbose() {
		t.Logf("%s", output)
	}
	if strings.Contains(string(output), "--- SKIP") {
		t.Skipf("%s", output)
	}
	return false
}

// snapshots is containerd's folder of snapshots on a tmpfs, with an overlay mounted as its shim does it: relative lower
// folders, mounted from the common one.
func mountSnapshot(t *testing.T, options string) (base, point string) {
	t.Helper()
	base, point = t.TempDir(), filepath.Join(t.TempDir(), "rootfs")
	if err := unix.Mount("tmpfs", base, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"1/fs/etc", "2/fs/bin", "3/fs", "3/work"} {
		if err := os.MkdirAll(filepath.Join(base, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(base, "1/fs/etc/passwd"), "image's")
	write(t, filepath.Join(base, "2/fs/bin/sh"), "shell")
	if err := os.Mkdir(point, 0o755); err != nil {
		t.Fatal(err)
	}
	data := fmt.Sprintf("%slowerdir=2/fs:1/fs,upperdir=%s/3/fs,workdir=%s/3/work", options, base, base)
	if err := mountFrom(base, "overlay", point, unix.MS_NOATIME, data); err != nil {
		t.Skipf("no overlay here: %v", err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(point, unix.MNT_DETACH)
		_ = unix.Unmount(base, unix.MNT_DETACH)
	})
	return base, point
}

func TestOverlayIsTakenBackAfterADifference(t *testing.T) {
	if !inPrivateMounts(t) {
		return
	}
	for name, options := range map[string]string{
		"plain": "", "no index": "index=off,", "index": "index=on,", "volatile": "volatile,",
		"metacopy": "metacopy=on,redirect_dir=on,", "user attributes": "userxattr,",
	} {
		t.Run(name, func(t *testing.T) {
			base, point := mountSnapshot(t, options)
			mounts, err := readMounts()
			if err != nil {
				t.Fatal(err)
			}
			overlay, err := findOverlay(mounts, point)
			if err != nil {
				t.Fatal(err)
			}
			if overlay.Base != base || overlay.Upper != filepath.Join(base, "3/fs") {
				t.Fatalf("%+v", overlay)
			}
			if untouched, err := overlay.untouched(); err != nil || !untouched {
				t.Fatal(untouched, err)
			}
			before := contents(t, point)
			image := &Image{Path: t.TempDir()}
			data := tarOf(t, file("etc/passwd", "changed"), file("etc/new", "n"), file("bin/.wh.sh", ""), folder("tmp/"), file("etc/.wh..wh..opq", ""))
			if err := os.WriteFile(image.diff(), data, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := applyImage(t, point, image); err != nil {
				t.Fatal(err)
			}
			if contents(t, point) == before {
				t.Fatal("nothing was applied")
			}
			if untouched, err := overlay.untouched(); err != nil || untouched {
				t.Fatal(untouched, err)
			}
			if err := overlay.reset(); err != nil {
				t.Fatal(err)
			}
			if after := contents(t, point); after != before {
				t.Fatalf("before:\n%safter:\n%s", before, after)
			}
			again, err := readMounts()
			if err != nil {
				t.Fatal(err)
			}
			same, err := findOverlay(again, point)
			if err != nil || *same != *overlay {
				t.Fatalf("%+v became %+v: %v", overlay, same, err)
			}
			write(t, filepath.Join(point, "etc/cold"), "works")
			if read(t, filepath.Join(base, "3/fs/etc/cold")) != "works" {
				t.Fatal("the root file system is another one")
			}
		})
	}
}

// contents are a listing without the root folder itself, whose time is that of the last name made or removed in it, as
// it is after a cold start.
func contents(t *testing.T, root string) string {
	t.Helper()
	_, rest, _ := strings.Cut(listing(t, root), "\n")
	return rest
}

func TestOverlayThatIsBusyIsTakenBack(t *testing.T) {
	if !inPrivateMounts(t) {
		return
	}
	_, point := mountSnapshot(t, "")
	mounts, err := readMounts()
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := findOverlay(mounts, point)
	if err != nil {
		t.Fatal(err)
	}
	held, err := os.Create(filepath.Join(point, "held"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := overlay.reset(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(point, "held")); err == nil {
		t.Fatal("still there")
	}
}

func TestFindOverlayRefusesWhatIsNotClear(t *testing.T) {
	own := t.TempDir()
	for _, folder := range []string{"3/fs", "3/work", "1/fs", "4/work"} {
		if err := os.MkdirAll(filepath.Join(own, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	good := fmt.Sprintf("1 0 0:5 / /b/rootfs rw,relatime shared:7 - overlay overlay rw,lowerdir=1/fs,upperdir=%s/3/fs,workdir=%s/3/work", own, own)
	find := func(text string) error {
		mounts, err := parseMounts(text)
		if err != nil {
			return err
		}
		_, err = findOverlay(mounts, "/b/rootfs")
		return err
	}
	if err := find(good); err != nil {
		t.Fatal(err)
	}
	replaced := func(old, by string) string { return strings.Replace(good, old, by, 1) }
	for name, text := range map[string]string{
		"nothing there":        replaced("/b/rootfs", "/b/other"),
		"another file system":  replaced("- overlay", "- ext4"),
		"a part of it":         replaced("0:5 /", "0:5 /sub"),
		"two of them":          good + "\n" + good,
		"a volume inside":      good + "\n" + "2 1 0:6 / /b/rootfs/data rw - tmpfs tmpfs rw",
		"read-only":            replaced("rw,relatime", "ro,relatime"),
		"an unknown flag":      replaced("rw,relatime", "rw,nosymfollow"),
		"an unknown option":    good + ",newthing=on",
		"no upper folder":      replaced(",upperdir="+own+"/3/fs", ""),
		"no work folder":       replaced(",workdir="+own+"/3/work", ""),
		"no lower folder":      replaced("lowerdir=1/fs,", ""),
		"a lower one missing":  replaced("lowerdir=1/fs", "lowerdir=9/fs"),
		"a nameless lower one": replaced("lowerdir=1/fs", "lowerdir=1/fs::1/fs"),
		"a relative upper":     replaced("upperdir="+own+"/3/fs", "upperdir=3/fs"),
		"another's work":       replaced("/3/work", "/4/work"),
		"an escaped comma":     replaced("lowerdir=1/fs", `lowerdir=1\054fs`),
		"too many lower ones":  replaced("lowerdir=1/fs", "lowerdir=1/fs"+strings.Repeat(":1/fs", 1000)),
		"garbage":              "garbage",
	} {
		if find(text) == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if err := find(replaced("lowerdir=1/fs", "lowerdir+="+own+"/1/fs,lowerdir+=1/fs")); err != nil {
		t.Error(err)
	}
}

func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{`a\040b`: "a b", `\134`: `\`, `\9`: `\9`, `plain`: "plain", `x\11`: `x\11`} {
		if got := unescape(text); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestUnmountBelowTakesOffAllThatAKilledRestoreLeaves(t *testing.T) {
	if !inPrivateMounts(t) {
		return
	}
	// As runc mounts it: the root bound to its state folder, a volume in the root; both in a shared mount, so that the
	// volume appears in the state folder as well.
	top := t.TempDir()
	if err := unix.Mount("tmpfs", top, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", top, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(top, unix.MNT_DETACH) })
	root, state, volume := filepath.Join(top, "rootfs"), filepath.Join(top, "state", "id"), filepath.Join(top, "volume")
	for _, folder := range []string{filepath.Join(root, "data"), filepath.Join(state, "criu-root"), volume} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(volume, "precious"), "p")
	bind := func(from, to string) {
		t.Helper()
		if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			t.Fatal(err)
		}
	}
	bind(root, root)
	bind(root, filepath.Join(state, "criu-root"))
	bind(volume, filepath.Join(root, "data"))
	if _, err := os.Lstat(filepath.Join(state, "criu-root", "data", "precious")); err != nil {
		t.Fatal("the test does not show what it is to show", err)
	}
	if err := unmountBelow(state, root); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	if read(t, filepath.Join(volume, "precious")) != "p" {
		t.Fatal("a volume was emptied")
	}
	if mounts, err := readMounts(); err != nil || !mounted(mounts, root) {
		t.Fatal("the root file system itself is to stay", err)
	}
}

func mounted(mounts []Mount, point string) bool {
	for _, mount := range mounts {
		if mount.Point == point {
			return true
		}
	}
	return false
}

func TestUnmountBelowRefusesFoldersOfTheHost(t *testing.T) {
	for _, folder := range []string{"", "/", ".", "relative/x", "/run", "/run/", "/run/../x"} {
		if err := unmountBelow(folder); err == nil {
			t.Fatalf("%q", folder)
		}
	}
}

func TestKillLeftoversFindsNothingForAnUnknownContainer(t *testing.T) {
	if err := killLeftovers(context.Background(), "no-such-container-0123456789abcdef"); err != nil {
		t.Fatal(err)
	}
}
