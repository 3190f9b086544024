package main

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

const (
	shmPath = "/dev/shm"
	// ownShmKey set to "own" gives a container a /dev/shm of its own.
	ownShmKey = "ksnap.dev/shm"
	ownShm    = "own"
)

// ownSharedMemory gives the container a /dev/shm of its own, if its pod asks for that. Kubernetes' is a tmpfs of the
// pod's, which a container only binds: CRIU leaves it out, and a process that had mapped a file in it cannot be restored
// in a new pod (PostgreSQL, unless it is told otherwise). One that is the container's own is frozen with it, and at the
// same moment. It has the size of the pod's; what containers of a pod share by way of it, they do not share any more,
// which is why this is for the pod to ask. A volume that the user mounts there is left alone.
func (bundle *Bundle) ownSharedMemory() (bool, error) {
	if bundle.Annotations[ownShmKey] != ownShm {
		return false, nil
	}
	var mounts []json.RawMessage
	if err := json.Unmarshal(bundle.top["mounts"], &mounts); err != nil {
		return false, fmt.Errorf("config.json: mounts: %w", err)
	}
	for at, raw := range mounts {
		var mount specs.Mount
		if err := json.Unmarshal(raw, &mount); err != nil {
			return false, fmt.Errorf("config.json: mounts: %w", err)
		}
		if !isPodShm(mount) {
			continue
		}
		encoded, err := json.Marshal(specs.Mount{
			Destination: shmPath, Type: "tmpfs", Source: "shm",
			// As containerd mounts the pod's (internal/cri/server/sandbox_run_linux.go).
			Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"},
		})
		if err != nil {
			return false, err
		}
		mounts[at] = encoded
		if bundle.top["mounts"], err = json.Marshal(mounts); err != nil {
			return false, fmt.Errorf("mounts: %w", err)
		}
		return true, nil
	}
	return false, nil
}

// isPodShm knows the sandbox's tmpfs by its folder, which containerd and CRI-O call `shm`; the kubelet's volumes lie
// below a folder `pods`.
func isPodShm(mount specs.Mount) bool {
	return path.Clean(mount.Destination) == shmPath && mountKind(mount) == "bind" &&
		path.Base(mount.Source) == "shm" && !strings.Contains(mount.Source, "/pods/")
}

// fitSharedMemory compares whose /dev/shm it was, which the engine's own configuration does not say.
func fitSharedMemory(frozen, wanted *specs.Spec) error {
	if had, has := frozen.Annotations[ownShmKey] == ownShm, wanted.Annotations[ownShmKey] == ownShm; had != has {
		return refuse(MountMismatch, "Only one of the frozen and the new container has a /dev/shm of its own (%s)", ownShmKey)
	}
	return nil
}
