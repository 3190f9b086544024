package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// What containerd's CRI plugin and our own hook write into the annotations of config.json.
const (
	containerTypeKey    = "io.kubernetes.cri.container-type"
	containerNameKey    = "io.kubernetes.cri.container-name"
	sandboxIDKey        = "io.kubernetes.cri.sandbox-id"
	sandboxNameKey      = "io.kubernetes.cri.sandbox-name"
	sandboxNamespaceKey = "io.kubernetes.cri.sandbox-namespace"
	sandboxUIDKey       = "io.kubernetes.cri.sandbox-uid"

	restorePrefix = "restore.ksnap.dev/"
	ioUringKey    = "ksnap.dev/io-uring"
	// criuConfigKey is runc's own: the file of CRIU options that it names to CRIU for this container
	// (libcontainer/criu_linux.go, handleCriuConfigurationFile). runc remembers it in the container's state.
	criuConfigKey = "org.criu.config"
)

const (
	// maxConfig bounds config.json. Kubernetes keeps a pod's environment below a megabyte or so.
	maxConfig = 16 << 20
	// workFolder is ours in the bundle; containerd removes it with the bundle.
	workFolder = "ksnap-work"
)

// Bundle is a container's bundle, with config.json as raw as it came: fields that we do not know stay as they are.
type Bundle struct {
	Path        string // absolute
	Annotations map[string]string
	top         map[string]json.RawMessage
	// raw is the file as it was read, before any change of ours.
	raw []byte
}

func openBundle(path string) (*Bundle, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("bundle %q: %w", path, err)
	}
	raw, err := readLimited(filepath.Join(absolute, "config.json"), maxConfig)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	bundle := &Bundle{Path: absolute, raw: raw}
	if err := json.Unmarshal(raw, &bundle.top); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if annotations, ok := bundle.top["annotations"]; ok {
		if err := json.Unmarshal(annotations, &bundle.Annotations); err != nil {
			return nil, fmt.Errorf("config.json: annotations: %w", err)
		}
	}
	return bundle, nil
}

// isContainer tells a container of a pod from the pod's sandbox and from whatever else runs through this runtime.
func (bundle *Bundle) isContainer() bool {
	return bundle.Annotations[containerTypeKey] == "container"
}

// work is the wrapper's folder in the bundle.
func (bundle *Bundle) work() string {
	return filepath.Join(bundle.Path, workFolder)
}

// spec is config.json as the container engine wrote it, in the specification's type. It is for comparison with an
// image's spec.dump, which is the engine's as well, without our seccomp rule; it is never written back.
func (bundle *Bundle) spec() (*specs.Spec, error) {
	spec := new(specs.Spec)
	if err := json.Unmarshal(bundle.raw, spec); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	return spec, nil
}

// rootfs is the path of the root file system that runc will take.
func rootfs(bundle *Bundle, spec *specs.Spec) (string, error) {
	if spec.Root == nil || spec.Root.Path == "" {
		return "", errors.New("config.json names no root file system")
	}
	path := spec.Root.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(bundle.Path, path)
	}
	// The kernel's list of mounts has no links in its names.
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("root file system: %w", err)
	}
	return real, nil
}

// setAnnotation changes one annotation; `save` writes it.
func (bundle *Bundle) setAnnotation(key, text string) error {
	if bundle.Annotations == nil {
		bundle.Annotations = map[string]string{}
	}
	bundle.Annotations[key] = text
	encoded, err := json.Marshal(bundle.Annotations)
	if err != nil {
		return fmt.Errorf("annotations: %w", err)
	}
	bundle.top["annotations"] = encoded
	return nil
}

// save replaces config.json in one step, with the mode that it had: a reader sees the old or the new one.
func (bundle *Bundle) save() error {
	encoded, err := json.Marshal(bundle.top)
	if err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	path := filepath.Join(bundle.Path, "config.json")
	mode := os.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	return writeWhole(path, encoded, mode)
}

// Identity is a container as the agent knows it.
type Identity struct {
	ContainerID string `json:"container_id"`
	SandboxID   string `json:"sandbox_id"`
	Namespace   string `json:"namespace"`
	Pod         string `json:"pod"`
	PodUID      string `json:"pod_uid"`
	Container   string `json:"container"`
	Image       string `json:"image"`
}

// wanted is what the pod asks to have restored in this container; false where it asks for nothing. A name that is not
// well formed is an error: it cannot be asked for, so it counts as nothing as well.
func (bundle *Bundle) wanted(id string) (Identity, bool, error) {
	name := bundle.Annotations[containerNameKey]
	image, ok := bundle.Annotations[restorePrefix+name]
	if name == "" || !ok {
		return Identity{}, false, nil
	}
	if _, err := imageDigest(image); err != nil {
		return Identity{}, false, fmt.Errorf("annotation %s%s: %w", restorePrefix, name, err)
	}
	return Identity{
		ContainerID: id,
		SandboxID:   bundle.Annotations[sandboxIDKey],
		Namespace:   bundle.Annotations[sandboxNamespaceKey],
		Pod:         bundle.Annotations[sandboxNameKey],
		PodUID:      bundle.Annotations[sandboxUIDKey],
		Container:   name,
		Image:       image,
	}, true, nil
}

// imageDigest is the digest of `<host>/<repository>@sha256:<64 hex>`; no tag, since only a digest says which bytes.
func imageDigest(image string) (string, error) {
	match := regexp.MustCompile(
		`^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+@(sha256:[0-9a-f]{64})$`,
	).FindStringSubmatch(image)
	if match == nil || len(image) > 1024 {
		return "", fmt.Errorf("%.200q is not <host>/<repository>@sha256:<digest>", image)
	}
	return match[1], nil
}
