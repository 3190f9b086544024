package main

import (
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// checkFit refuses an image whose container differs from the one to be made in what CRIU takes from the image rather
// than from config.json: mounts, namespaces, identity, rights. A restored process must neither lack what its pod asks
// for nor have more rights than its pod was admitted with.
func checkFit(image *Image, spec *specs.Spec, digest, architecture string) error {
	if image.Digest != digest {
		return refuse(ImageUnavailable, "The agent's folder holds %.100q instead of %s", image.Digest, digest)
	}
	if image.Architecture != "" && image.Architecture != architecture {
		return refuse(ArchitectureMismatch, "The image is for %.50q, this node is %s", image.Architecture, architecture)
	}
	if !frozenByRunc(image.Runtime) {
		return refuse(RuntimeMismatch, "The image was frozen by %.100q; runc restores what runc froze", image.Runtime)
	}
	if image.Spec.Process == nil || spec.Process == nil || image.Spec.Linux == nil || spec.Linux == nil {
		return refuse(RuntimeMismatch, "A container's configuration has no process or is not for Linux")
	}
	for _, check := range []func(frozen, wanted *specs.Spec) error{
		fitUser, fitRights, fitNamespaces, fitTerminal, fitMounts, fitSharedMemory,
	} {
		if err := check(image.Spec, spec); err != nil {
			return err
		}
	}
	return nil
}

// frozenByRunc knows runc's names: containerd says its runtime's type, CRI-O its handler, and ours is runc as well.
// Another runtime gives CRIU other names for external mounts and descriptors.
func frozenByRunc(name string) bool {
	switch base := filepath.Base(name); {
	case strings.HasPrefix(base, "io.containerd.runc."):
		return true
	default:
		return base == "runc" || base == "ksnap" || base == "ksnap-runc"
	}
}

func fitUser(frozen, wanted *specs.Spec) error {
	was, is := frozen.Process.User, wanted.Process.User
	if was.UID != is.UID || was.GID != is.GID {
		return refuse(UserMismatch, "The frozen process was of %d:%d, the container is to run as %d:%d",
			was.UID, was.GID, is.UID, is.GID)
	}
	for _, group := range was.AdditionalGids {
		// Kubernetes repeats the primary group here, or does not, from version to version.
		if group != is.GID && !slices.Contains(is.AdditionalGids, group) {
			return refuse(UserMismatch, "The frozen process was in group %d, the container is not to be", group)
		}
	}
	return nil
}

// fitRights compares capabilities, noNewPrivileges, seccomp and the root's protection: the process would keep those of
// the image.
func fitRights(frozen, wanted *specs.Spec) error {
	had, has := frozen.Process.Capabilities, wanted.Process.Capabilities
	if had == nil {
		had = &specs.LinuxCapabilities{}
	}
	if has == nil {
		has = &specs.LinuxCapabilities{}
	}
	for _, set := range []struct {
		name    string
		had, by []string
	}{
		{"bounding", had.Bounding, has.Bounding}, {"effective", had.Effective, has.Effective},
		{"permitted", had.Permitted, has.Permitted}, {"inheritable", had.Inheritable, has.Inheritable},
		{"ambient", had.Ambient, has.Ambient},
	} {
		for _, capability := range set.had {
			if !slices.Contains(set.by, capability) {
				return refuse(UserMismatch, "The frozen process had %.50q (%s), the container is not to have it",
					capability, set.name)
			}
		}
	}
	if wanted.Process.NoNewPrivileges && !frozen.Process.NoNewPrivileges {
		return refuse(UserMismatch, "The container is to gain no privileges, the frozen process could")
	}
	if wanted.Linux.Seccomp != nil && frozen.Linux.Seccomp == nil {
		return refuse(RuntimeMismatch, "The container is to have a seccomp profile, the frozen process had none")
	}
	readonly := func(spec *specs.Spec) bool { return spec.Root != nil && spec.Root.Readonly }
	if readonly(wanted) && !readonly(frozen) {
		return refuse(MountMismatch, "The container's root is to be read-only, the frozen one's was not")
	}
	return nil
}

// fitNamespaces compares which namespaces there are, and which of them are the pod's. What a user namespace maps to is
// part of the image and differs from pod to pod, so there is no restore with one.
func fitNamespaces(frozen, wanted *specs.Spec) error {
	kinds := func(spec *specs.Spec) map[specs.LinuxNamespaceType]bool {
		joined := map[specs.LinuxNamespaceType]bool{}
		for _, namespace := range spec.Linux.Namespaces {
			joined[namespace.Type] = namespace.Path != ""
		}
		return joined
	}
	had, has := kinds(frozen), kinds(wanted)
	for _, side := range []map[specs.LinuxNamespaceType]bool{had, has} {
		if _, ok := side[specs.UserNamespace]; ok {
			return refuse(UserMismatch, "A container in a user namespace cannot be restored in another pod")
		}
	}
	for _, kind := range []specs.LinuxNamespaceType{
		specs.PIDNamespace, specs.NetworkNamespace, specs.MountNamespace, specs.IPCNamespace, specs.UTSNamespace,
		specs.CgroupNamespace, specs.TimeNamespace,
	} {
		joinedThen, then := had[kind]
		joinedNow, now := has[kind]
		if then != now || joinedThen != joinedNow {
			return refuse(RuntimeMismatch, "The frozen container's %s namespace was %s, the new one's is %s",
				kind, namespaceWord(then, joinedThen), namespaceWord(now, joinedNow))
		}
	}
	return nil
}

func namespaceWord(present, joined bool) string {
	switch {
	case !present:
		return "the host's"
	case joined:
		return "the pod's"
	}
	return "its own"
}

func fitTerminal(frozen, wanted *specs.Spec) error {
	if frozen.Process.Terminal != wanted.Process.Terminal {
		return refuse(RuntimeMismatch, "Only one of the frozen and the new container has a terminal")
	}
	return nil
}

// fitMounts wants every mount of the image in the new container, of the same kind and writable if it was, since CRIU
// makes the image's mounts out of the new container's; and no volume or file of the new one may be missing in the
// image.
func fitMounts(frozen, wanted *specs.Spec) error {
	now := map[string]specs.Mount{}
	for _, mount := range wanted.Mounts {
		now[path.Clean(mount.Destination)] = mount
	}
	then := map[string]bool{}
	for _, mount := range frozen.Mounts {
		destination := path.Clean(mount.Destination)
		then[destination] = true
		match, ok := now[destination]
		switch {
		case !ok:
			return refuse(MountMismatch, "The container has no mount at %.300q, the frozen one had", destination)
		case mountKind(mount) != mountKind(match):
			return refuse(MountMismatch, "The mount at %.300q is %s, it was %s",
				destination, mountKind(match), mountKind(mount))
		case readOnly(match) && !readOnly(mount):
			return refuse(MountMismatch, "The mount at %.300q is to be read-only, it was not", destination)
		}
	}
	for _, mount := range wanted.Mounts {
		if destination := path.Clean(mount.Destination); mountKind(mount) == "bind" && !then[destination] {
			return refuse(MountMismatch, "The frozen container had no mount at %.300q", destination)
		}
	}
	return nil
}

// mountKind follows runc: the option decides about a bind mount, not the type's name.
func mountKind(mount specs.Mount) string {
	if slices.Contains(mount.Options, "bind") || slices.Contains(mount.Options, "rbind") {
		return "bind"
	}
	return mount.Type
}

func readOnly(mount specs.Mount) bool {
	state := false
	for _, option := range mount.Options {
		switch option {
		case "ro":
			state = true
		case "rw":
			state = false
		}
	}
	return state
}
