package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A pod's containers share one UTS namespace. runc has CRIU join it, and CRIU writes the frozen host name into it
// (criu/uts_ns.c, prepare_utsns), for all containers of the pod. What can be done about it is done before any process of
// the container runs: CRIU is given an image that says the pod's own name. Where it is left to CRIU, the pod's own name is
// kept, so that a container of it that starts cold later finds what a cold pod has.

const (
	// hostNamePrefix is the annotation by which a pod asks for its own name.
	hostNamePrefix = "hostname.ksnap.dev/"
	hostNameOfPod  = "pod"
	// criuMagic begins every image file of CRIU since version 1.1 (criu/include/magic.h, IMG_COMMON_MAGIC).
	criuMagic    = 0x54564319
	imagesFolder = "images"
	maxHostName  = 4096
)

// HostName is what a UTS namespace holds. The kernel bounds each part by 64 bytes (uname(2)).
type HostName struct {
	Node   string `json:"node"`
	Domain string `json:"domain"`
}

// utsOf is the pod's UTS namespace; "" where the container joins none.
func utsOf(spec *specs.Spec) string {
	return namespaceOf(spec, specs.UTSNamespace)
}

func readHostName(namespace string) (name HostName, err error) {
	err = inNamespace(namespace, unix.CLONE_NEWUTS, func() error {
		var uts unix.Utsname
		if err := unix.Uname(&uts); err != nil {
			return err
		}
		name = HostName{Node: unix.ByteSliceToString(uts.Nodename[:]), Domain: unix.ByteSliceToString(uts.Domainname[:])}
		return nil
	})
	return name, err
}

func (name HostName) set(namespace string) error {
	return inNamespace(namespace, unix.CLONE_NEWUTS, func() error {
		return errors.Join(unix.Sethostname([]byte(name.Node)), unix.Setdomainname([]byte(name.Domain)))
	})
}

// wantsPodsName says whether the container asks for the name of its pod in place of the frozen one.
func (bundle *Bundle) wantsPodsName(container string) (bool, error) {
	switch text, ok := bundle.Annotations[hostNamePrefix+container]; {
	case !ok:
		return false, nil
	case text == hostNameOfPod:
		return true, nil
	default:
		return false, refuse(RuntimeMismatch, "The annotation %s%s is %.50q; it may be %q", hostNamePrefix, container, text,
			hostNameOfPod)
	}
}

// isHosts says whether a UTS namespace is the node's own, which must not be renamed for any pod.
func isHosts(namespace string) (bool, error) {
	own, err := os.Stat("/proc/self/ns/uts")
	if err != nil {
		return false, err
	}
	other, err := os.Stat(namespace)
	if err != nil {
		return false, err
	}
	return os.SameFile(own, other), nil
}

// hostNamePath is where a pod's own name is kept while its namespace may hold another; the pod's sandbox takes it along
// when it is deleted.
func (attempt *attempt) hostNamePath() string {
	id := attempt.identity.SandboxID
	if !validID(id) {
		id = attempt.identity.ContainerID
	}
	return hostNamePath(attempt.node.State, id)
}

func hostNamePath(state, sandbox string) string {
	return filepath.Join(state, sandbox+".hostname")
}

// images is the folder that CRIU is given: the image's own, or one that says the pod's name in place of the frozen one.
func (attempt *attempt) images(image *Image, spec *specs.Spec) (string, error) {
	wanted, err := attempt.bundle.wantsPodsName(attempt.identity.Container)
	if err != nil {
		return "", err
	}
	namespace := utsOf(spec)
	if namespace == "" {
		return image.checkpoint(), nil
	}
	hosts, err := isHosts(namespace)
	if err != nil {
		return "", fmt.Errorf("host name: %w", err)
	}
	name, err := readHostName(namespace)
	if err != nil {
		return "", fmt.Errorf("host name: %w", err)
	}
	if wanted || hosts {
		return imagesWithName(image.checkpoint(), filepath.Join(attempt.bundle.work(), imagesFolder), name)
	}
	return image.checkpoint(), attempt.keepHostName(name)
}

// keepHostName remembers the pod's own name; an earlier restore in the pod has done so before it was overwritten.
func (attempt *attempt) keepHostName(name HostName) error {
	path := attempt.hostNamePath()
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	encoded, err := json.Marshal(name)
	if err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	return writeWhole(path, encoded, 0o600)
}

// giveBackHostName is for a container that starts cold: what an earlier restore or a failed one made of the pod's name
// is undone. A pod that has gone has no name any more.
func (attempt *attempt) giveBackHostName() error {
	path := attempt.hostNamePath()
	data, err := readLimited(path, maxHostName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var name HostName
	if err := json.Unmarshal(data, &name); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	spec, err := attempt.bundle.spec()
	if err != nil {
		return err
	}
	if namespace := utsOf(spec); namespace != "" {
		if err := name.set(namespace); err != nil && !errors.Is(err, errNoNamespace) {
			return fmt.Errorf("host name: %w", err)
		}
	}
	return os.Remove(path)
}

// imagesWithName makes a folder of links to CRIU's images, but for the one of the UTS namespace. CRIU opens most of them
// by the folder's descriptor when its root is the container's already; so the links are relative, and lead from the
// folder to the images wherever the root is.
func imagesWithName(images, folder string, name HostName) (string, error) {
	entries, err := os.ReadDir(images)
	if err != nil {
		return "", fmt.Errorf("images: %w", err)
	}
	if err := os.RemoveAll(folder); err != nil {
		return "", fmt.Errorf("images: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("images: %w", err)
	}
	way, err := relativeWay(folder, images)
	if err != nil {
		return "", fmt.Errorf("images: %w", err)
	}
	names := 0
	for _, entry := range entries {
		to := filepath.Join(folder, entry.Name())
		if match, _ := filepath.Match("utsns-*.img", entry.Name()); match {
			names++
			err = rewriteName(filepath.Join(images, entry.Name()), to, name)
		} else {
			err = os.Symlink(filepath.Join(way, entry.Name()), to)
		}
		if err != nil {
			return "", fmt.Errorf("images: %w", err)
		}
	}
	if names > 1 {
		return "", refuse(RuntimeMismatch, "The image has %d UTS namespaces; which is the pod's is not known", names)
	}
	return folder, nil
}

// relativeWay is the way from one folder to another by their real names, which dots go up by.
func relativeWay(from, to string) (string, error) {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return "", err
	}
	to, err = filepath.EvalSymlinks(to)
	if err != nil {
		return "", err
	}
	return filepath.Rel(from, to)
}

// rewriteName writes an image of a UTS namespace like another, with the two magic numbers of that and another name: a
// size and one message, images/utsns.proto.
func rewriteName(from, to string, name HostName) error {
	data, err := readLimited(from, maxHostName)
	if err != nil {
		return err
	}
	if len(data) < 8 || binary.LittleEndian.Uint32(data) != criuMagic {
		return fmt.Errorf("%s is no image of CRIU's", filepath.Base(from))
	}
	var message []byte
	for at, text := range []string{name.Node, name.Domain} {
		// A length below 128 is one byte.
		if len(text) > 64 {
			return fmt.Errorf("the pod's host name has %d bytes", len(text))
		}
		message = append(append(message, byte(at+1)<<3|2, byte(len(text))), text...)
	}
	image := append([]byte(nil), data[:8]...)
	image = binary.LittleEndian.AppendUint32(image, uint32(len(message)))
	return os.WriteFile(to, append(image, message...), 0o600)
}
