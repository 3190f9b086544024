package main

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

const fitting = `{
	"root": {"path": "rootfs"},
	"process": {"user": {"uid": 1000, "gid": 1000, "additionalGids": [1000, 2000]},
		"capabilities": {"bounding": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"]}},
	"mounts": [
		{"destination": "/proc", "type": "proc"},
		{"destination": "/etc/hosts", "type": "bind", "options": ["rbind", "rw"]},
		{"destination": "/data", "type": "bind", "options": ["rbind", "ro"]}],
	"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
		"namespaces": [{"type": "pid"}, {"type": "network", "path": "/proc/1/ns/net"}, {"type": "mount"}]}}`

func specOf(t *testing.T, text string) *specs.Spec {
	t.Helper()
	spec := new(specs.Spec)
	if err := json.Unmarshal([]byte(text), spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestFit(t *testing.T) {
	for name, entry := range map[string]struct {
		change func(image *Image, wanted *specs.Spec)
		want   Reason
	}{
		"the same":                  {func(*Image, *specs.Spec) {}, ""},
		"another network namespace": {func(_ *Image, wanted *specs.Spec) { wanted.Linux.Namespaces[1].Path = "/proc/2/ns/net" }, ""},
		"more rights than before": {func(_ *Image, wanted *specs.Spec) {
			wanted.Process.Capabilities.Bounding = append(wanted.Process.Capabilities.Bounding, "CAP_KILL")
		}, ""},
		"a writable mount where it was not": {func(_ *Image, wanted *specs.Spec) { wanted.Mounts[2].Options = []string{"rbind", "rw"} }, ""},
		"a destination written otherwise":   {func(_ *Image, wanted *specs.Spec) { wanted.Mounts[2].Destination = "/data/" }, ""},
		"a new mount of the runtime's": {func(_ *Image, wanted *specs.Spec) {
			wanted.Mounts = append(wanted.Mounts, specs.Mount{Destination: "/dev/mqueue", Type: "mqueue"})
		}, ""},

		"a /dev/shm of its own, only now": {func(_ *Image, wanted *specs.Spec) {
			wanted.Annotations = map[string]string{ownShmKey: ownShm}
		}, MountMismatch},
		"another digest":         {func(image *Image, _ *specs.Spec) { image.Digest = "sha256:0" }, ImageUnavailable},
		"another architecture":   {func(image *Image, _ *specs.Spec) { image.Architecture = "riscv64" }, ArchitectureMismatch},
		"frozen by crun":         {func(image *Image, _ *specs.Spec) { image.Runtime = "crun" }, RuntimeMismatch},
		"another user":           {func(_ *Image, wanted *specs.Spec) { wanted.Process.User.UID = 0 }, UserMismatch},
		"another group":          {func(_ *Image, wanted *specs.Spec) { wanted.Process.User.GID = 5 }, UserMismatch},
		"a group less":           {func(_ *Image, wanted *specs.Spec) { wanted.Process.User.AdditionalGids = nil }, UserMismatch},
		"fewer rights":           {func(_ *Image, wanted *specs.Spec) { wanted.Process.Capabilities.Effective = nil }, UserMismatch},
		"no rights":              {func(_ *Image, wanted *specs.Spec) { wanted.Process.Capabilities = nil }, UserMismatch},
		"no new privileges":      {func(_ *Image, wanted *specs.Spec) { wanted.Process.NoNewPrivileges = true }, UserMismatch},
		"frozen without seccomp": {func(image *Image, _ *specs.Spec) { image.Spec.Linux.Seccomp = nil }, RuntimeMismatch},
		"a read-only root":       {func(_ *Image, wanted *specs.Spec) { wanted.Root.Readonly = true }, MountMismatch},
		"a terminal":             {func(_ *Image, wanted *specs.Spec) { wanted.Process.Terminal = true }, RuntimeMismatch},
		"a shared PID namespace": {func(_ *Image, wanted *specs.Spec) { wanted.Linux.Namespaces[0].Path = "/proc/1/ns/pid" }, RuntimeMismatch},
		"the host's network":     {func(_ *Image, wanted *specs.Spec) { wanted.Linux.Namespaces = wanted.Linux.Namespaces[:1] }, RuntimeMismatch},
		"a user namespace": {func(image *Image, wanted *specs.Spec) {
			for _, spec := range []*specs.Spec{image.Spec, wanted} {
				spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			}
		}, UserMismatch},
		"a mount less":  {func(_ *Image, wanted *specs.Spec) { wanted.Mounts = wanted.Mounts[:2] }, MountMismatch},
		"a volume more": {func(image *Image, _ *specs.Spec) { image.Spec.Mounts = image.Spec.Mounts[:2] }, MountMismatch},
		"a mount of another kind": {func(image *Image, _ *specs.Spec) {
			image.Spec.Mounts[2] = specs.Mount{Destination: "/data", Type: "tmpfs"}
		}, MountMismatch},
		"a mount that is to be read-only": {func(image *Image, _ *specs.Spec) { image.Spec.Mounts[2].Options = []string{"rbind"} }, MountMismatch},
		"no process":                      {func(image *Image, _ *specs.Spec) { image.Spec.Process = nil }, RuntimeMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			image := &Image{Digest: digest, Architecture: "amd64", Runtime: "io.containerd.runc.v2", Spec: specOf(t, fitting)}
			wanted := specOf(t, fitting)
			entry.change(image, wanted)
			err := checkFit(image, wanted, digest, "amd64")
			if entry.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			reasonIs(t, err, entry.want)
		})
	}
}

func TestFrozenByRunc(t *testing.T) {
	for name, want := range map[string]bool{
		"io.containerd.runc.v2": true, "runc": true, "/usr/bin/runc": true, "/opt/ksnap/bin/ksnap-runc": true, "ksnap": true,
		"crun": false, "io.containerd.kata.v2": false, "": false, "runsc": false,
	} {
		if got := frozenByRunc(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
