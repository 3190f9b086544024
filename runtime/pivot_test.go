package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func readonly(mounts ...string) *specs.Spec {
	spec := &specs.Spec{Root: &specs.Root{Readonly: true}}
	for _, destination := range mounts {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: destination})
	}
	return spec
}

func TestPivotFolderIsThereForTheRestoreAlone(t *testing.T) {
	root := t.TempDir()
	folder, err := makePivotFolder(root, readonly("/proc", "/tmp/below"))
	if err != nil || folder == nil {
		t.Fatal(folder, err)
	}
	if info, err := os.Lstat(filepath.Join(root, "tmp")); err != nil || !info.IsDir() {
		t.Fatal(err)
	}
	if err := folder.remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(root, "tmp")); !os.IsNotExist(err) {
		t.Error(err)
	}
}

func TestPivotFolderIsMadeOnlyWhereNothingHasItsName(t *testing.T) {
	outside := t.TempDir()
	for name, prepare := range map[string]func(root string) error{
		"folder": func(root string) error { return os.Mkdir(filepath.Join(root, "tmp"), 0o700) },
		"file":   func(root string) error { return os.WriteFile(filepath.Join(root, "tmp"), nil, 0o600) },
		"link":   func(root string) error { return os.Symlink(outside, filepath.Join(root, "tmp")) },
		"link to nothing": func(root string) error {
			return os.Symlink(filepath.Join(outside, "made"), filepath.Join(root, "tmp"))
		},
	} {
		root := t.TempDir()
		if err := prepare(root); err != nil {
			t.Fatal(err)
		}
		folder, err := makePivotFolder(root, readonly())
		if err != nil || folder != nil {
			t.Errorf("%s: %v %v", name, folder, err)
		}
		if err := folder.remove(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(filepath.Join(root, "tmp")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Error("a link was followed", entries, err)
	}
	for name, spec := range map[string]*specs.Spec{
		"writable": {Root: &specs.Root{}}, "no root": {}, "mounted": readonly("/tmp"), "mounted as well": readonly("/tmp/"),
	} {
		if folder, err := makePivotFolder(t.TempDir(), spec); err != nil || folder != nil {
			t.Errorf("%s: %v %v", name, folder, err)
		}
	}
}

func TestPivotFolderThatIsInUseStays(t *testing.T) {
	root := t.TempDir()
	folder, err := makePivotFolder(root, readonly())
	if err != nil {
		t.Fatal(err)
	}
	kept := write(t, filepath.Join(root, "tmp", "file"), "kept")
	if err := folder.remove(); err == nil {
		t.Error("it was not empty")
	}
	if read(t, kept) != "kept" {
		t.Error("something was removed with it")
	}
}
