package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An image of a UTS namespace as CRIU writes it: two magic numbers, a size, and the message {nodename, domainname}.
const utsImage = "\x19\x43\x56\x54\x03\x32\x47\x54" + "\x0e\x00\x00\x00" + "\x0a\x04then" + "\x12\x06(none)"

func TestImageOfAnotherNameDiffersInTheNameAlone(t *testing.T) {
	folder := t.TempDir()
	from, to := write(t, filepath.Join(folder, "utsns-11.img"), utsImage), filepath.Join(folder, "new")
	if err := rewriteName(from, to, HostName{Node: "then", Domain: "(none)"}); err != nil || read(t, to) != utsImage {
		t.Fatalf("%v %q", err, read(t, to))
	}
	if err := rewriteName(from, to, HostName{Node: "now-1"}); err != nil {
		t.Fatal(err)
	}
	if want := utsImage[:8] + "\x09\x00\x00\x00" + "\x0a\x05now-1" + "\x12\x00"; read(t, to) != want {
		t.Fatalf("%q", read(t, to))
	}
	for _, text := range []string{"", "short", "\x19\x43\x56\x55" + utsImage[4:]} {
		if err := rewriteName(write(t, from, text), to, HostName{}); err == nil {
			t.Errorf("%q was taken for an image", text)
		}
	}
	if err := rewriteName(write(t, from, utsImage), to, HostName{Node: strings.Repeat("x", 65)}); err == nil {
		t.Error("a name longer than the kernel's")
	}
}

func TestImagesWithAnotherNameAreLinksToTheRest(t *testing.T) {
	folder := t.TempDir()
	images := filepath.Join(folder, "agent", "images")
	write(t, filepath.Join(images, "utsns-11.img"), utsImage)
	write(t, filepath.Join(images, "pages-1.img"), "pages")
	// A folder may be named by way of a link; the names of the new links are real ones all the same.
	if err := os.Symlink(filepath.Join(folder, "agent"), filepath.Join(folder, "short")); err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(folder, "a", "b", "c")
	for range 2 {
		made, err := imagesWithName(filepath.Join(folder, "short", "images"), work, HostName{Node: "new"})
		if err != nil || made != work {
			t.Fatal(made, err)
		}
	}
	if got := read(t, filepath.Join(work, "pages-1.img")); got != "pages" {
		t.Error(got)
	}
	if target, err := os.Readlink(filepath.Join(work, "pages-1.img")); err != nil || target != "../../../agent/images/pages-1.img" {
		t.Error(target, err)
	}
	if got := read(t, filepath.Join(work, "utsns-11.img")); !strings.Contains(got, "new") {
		t.Errorf("%q", got)
	}
	if got := read(t, filepath.Join(images, "utsns-11.img")); got != utsImage {
		t.Errorf("the agent's image was changed: %q", got)
	}
	write(t, filepath.Join(images, "utsns-12.img"), utsImage)
	_, err := imagesWithName(images, work, HostName{Node: "new"})
	reasonIs(t, err, RuntimeMismatch)
}

func TestPodsNameIsAskedForByOneWord(t *testing.T) {
	for text, want := range map[string]bool{"": false, hostNameOfPod: true} {
		bundle := &Bundle{Annotations: map[string]string{hostNamePrefix + "db": "nonsense of another container"}}
		if text != "" {
			bundle.Annotations[hostNamePrefix+"web"] = text
		}
		if got, err := bundle.wantsPodsName("web"); err != nil || got != want {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	_, err := (&Bundle{Annotations: map[string]string{hostNamePrefix + "web": "Pod"}}).wantsPodsName("web")
	reasonIs(t, err, RuntimeMismatch)
	if !strings.Contains(err.Error(), `"Pod"; it may be "pod"`) {
		t.Error(err)
	}
}

func TestNodesOwnNamespaceIsKnown(t *testing.T) {
	if hosts, err := isHosts("/proc/self/ns/uts"); err != nil || !hosts {
		t.Error(hosts, err)
	}
	if hosts, err := isHosts("/proc/self/ns/net"); err != nil || hosts {
		t.Error(hosts, err)
	}
	if _, err := isHosts("/proc/4194305/ns/uts"); err == nil {
		t.Error("there is no such process")
	}
}

func TestNamespaceOfAPodThatHasGoneIsNoFault(t *testing.T) {
	if err := unlockNetwork(t.Context(), "/proc/4194305/ns/net"); err != nil {
		t.Error(err)
	}
	_, err := readHostName("/proc/4194305/ns/uts")
	if err == nil || !strings.Contains(err.Error(), "not there") {
		t.Error(err)
	}
}

func TestFaultInsideANamespaceIsAnError(t *testing.T) {
	needRoot(t)
	err := inNamespace("/proc/self/ns/uts", unix.CLONE_NEWUTS, func() error { panic("x") })
	if err == nil || !strings.Contains(err.Error(), "internal fault: x") {
		t.Error(err)
	}
}

func TestPodsNameGoesWithItsSandbox(t *testing.T) {
	wrapper := install(t, "/nowhere")
	path := write(t, hostNamePath(filepath.Join(wrapper.folder, "state"), "sandbox"), `{"node": "n"}`)
	wrapper.call(t, "delete", "container")
	if _, err := os.Lstat(path); err != nil {
		t.Error("it went with another")
	}
	wrapper.call(t, "delete", "--force", "sandbox")
	if _, err := os.Lstat(path); err == nil {
		t.Error("it stays")
	}
}

func TestUtsImageOfTheTestIsWellFormed(t *testing.T) {
	if size := utsImage[8]; !bytes.HasSuffix([]byte(utsImage), []byte("(none)")) || int(size) != len(utsImage)-12 {
		t.Error(size, len(utsImage)-12)
	}
}
