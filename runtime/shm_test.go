package main

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestOwnSharedMemory(t *testing.T) {
	const (
		pods   = `{"destination": "/dev/shm", "type": "bind", "source": "/run/containerd/x/sandboxes/1/shm", "options": ["rbind", "ro"]}`
		volume = `{"destination": "/dev/shm", "type": "bind", "source": "/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/shm", "options": ["rbind"]}`
	)
	for name, entry := range map[string]struct {
		annotation, mount string
		changed           bool
	}{
		"asked for":            {"own", pods, true},
		"not asked for":        {"", pods, false},
		"something else":       {"pod", pods, false},
		"a volume of the user": {"own", volume, false},
		"another mount":        {"own", `{"destination": "/data", "type": "bind", "source": "/x/shm", "options": ["bind"]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			mounts := json.RawMessage(`[{"destination": "/proc", "type": "proc"},` + entry.mount + `]`)
			bundle := &Bundle{
				Annotations: map[string]string{ownShmKey: entry.annotation},
				top:         map[string]json.RawMessage{"mounts": mounts},
			}
			changed, err := bundle.ownSharedMemory()
			if err != nil || changed != entry.changed {
				t.Fatalf("changed %v (%v), want %v", changed, err, entry.changed)
			}
			var after []specs.Mount
			if err := json.Unmarshal(bundle.top["mounts"], &after); err != nil || len(after) != 2 {
				t.Fatalf("%v: %s", err, bundle.top["mounts"])
			}
			if own := after[1].Type == "tmpfs" && mountKind(after[1]) == "tmpfs"; own != entry.changed {
				t.Errorf("%+v", after[1])
			}
		})
	}
}
