package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func bundleOf(t *testing.T, config string) *Bundle {
	t.Helper()
	folder := t.TempDir()
	write(t, filepath.Join(folder, "config.json"), config)
	bundle, err := openBundle(folder)
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

func TestImageDigest(t *testing.T) {
	for _, image := range []string{
		"registry.example:5000/ns/app@" + digest, "localhost/a@" + digest, "10.0.0.1:443/a-b__c/d.e@" + digest,
	} {
		if got, err := imageDigest(image); err != nil || got != digest {
			t.Errorf("%s: %s, %v", image, got, err)
		}
	}
	for _, image := range []string{
		"", "app", "registry/app:tag", "registry/app:tag@" + digest, "registry/app@sha256:00", "/app@" + digest,
		"registry/../app@" + digest, "registry/App@" + digest, "registry@" + digest, "registry/app@" + strings.ToUpper(digest),
		"registry/app@" + digest + "\n", "-x/app@" + digest, "r/" + strings.Repeat("a", 1100) + "@" + digest,
	} {
		if got, err := imageDigest(image); err == nil {
			t.Errorf("%q: %s", image, got)
		}
	}
}

func TestWantedIsTheContainersOwnAnnotation(t *testing.T) {
	image := "registry/app@" + digest
	bundle := bundleOf(t, `{"annotations": {
		"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "web",
		"io.kubernetes.cri.sandbox-id": "s", "io.kubernetes.cri.sandbox-name": "web-1",
		"io.kubernetes.cri.sandbox-namespace": "shop", "io.kubernetes.cri.sandbox-uid": "u",
		"restore.ksnap.dev/web": "`+image+`", "restore.ksnap.dev/other": "x"}}`)
	got, ok, err := bundle.wanted("abc")
	want := Identity{"abc", "s", "shop", "web-1", "u", "web", image}
	if err != nil || !ok || got != want {
		t.Fatal(got, ok, err)
	}
	bundle.Annotations[containerNameKey] = "other"
	if _, ok, err := bundle.wanted("abc"); ok || err == nil {
		t.Fatal("a malformed name counts as none, and is complained of")
	}
	bundle.Annotations[containerNameKey] = "third"
	if _, ok, err := bundle.wanted("abc"); ok || err != nil {
		t.Fatal(ok, err)
	}
}

func TestSaveKeepsWhatItDoesNotKnow(t *testing.T) {
	bundle := bundleOf(t, `{"ociVersion": "9.9.9", "future": {"big": 12345678901234567890, "text": "a<b"}, "annotations": {"a": "b"}}`)
	if err := os.Chmod(filepath.Join(bundle.Path, "config.json"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := bundle.setAnnotation("c", "d"); err != nil {
		t.Fatal(err)
	}
	if err := bundle.save(); err != nil {
		t.Fatal(err)
	}
	text := read(t, filepath.Join(bundle.Path, "config.json"))
	for _, part := range []string{`"big":12345678901234567890`, `"annotations":{"a":"b","c":"d"}`, `"ociVersion":"9.9.9"`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in %s", part, text)
		}
	}
	info, err := os.Stat(filepath.Join(bundle.Path, "config.json"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Fatal(info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(bundle.Path, ".config*")); err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
}

func TestOpenBundleRefusesWhatIsNoConfig(t *testing.T) {
	for _, config := range []string{"", "[]", `{"annotations": []}`, `{"annotations": {"a": 1}}`} {
		folder := t.TempDir()
		write(t, filepath.Join(folder, "config.json"), config)
		if _, err := openBundle(folder); err == nil {
			t.Errorf("%q was read", config)
		}
	}
}
