package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Under cgroup v1 a container's /sys/fs/cgroup is a tmpfs with a bind mount per hierarchy, and runc takes the folders of
// the process that it is asked by (libcontainer/rootfs_linux.go, getCgroupMounts). At a creation that is the container's
// first process; at a restore it is runc itself, so that a restored container would see what its shim is in, which is the
// node's. So runc is given these mounts one by one. CRIU makes them when runc has made the container's cgroup.
//
// Version 2 needs none of this. The systemd driver names folders otherwise; there it stays as runc does it.

// cgroupHierarchies are those in which runc makes the container a folder (cgroups/fs/fs.go).
func cgroupHierarchies() map[string]bool {
	return names("cpuset", "devices", "memory", "cpu", "cpuacct", "pids", "blkio", "hugetlb", "net_cls", "net_prio",
		"perf_event", "freezer", "rdma", "misc", "name=systemd")
}

// cgroupBinds are the mounts that stand for the container's mount of cgroup v1; none where it is not for us to say.
func cgroupBinds(invocation Invocation, spec *specs.Spec, mounts []Mount) (at int, binds []specs.Mount) {
	at = -1
	for index, mount := range spec.Mounts {
		if mount.Type == "cgroup" {
			if at >= 0 {
				return -1, nil
			}
			at = index
		}
	}
	_, systemd := value(invocation.Global, "systemd-cgroup")
	if at < 0 || systemd || spec.Linux == nil || !path.IsAbs(spec.Linux.CgroupsPath) {
		return -1, nil
	}
	for _, namespace := range spec.Linux.Namespaces {
		if namespace.Type == specs.CgroupNamespace {
			return -1, nil
		}
	}
	target := spec.Mounts[at]
	binds = []specs.Mount{{Destination: target.Destination, Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=755"}}}
	seen, ours := map[string]bool{}, cgroupHierarchies()
	for _, mount := range mounts {
		if mount.Type != "cgroup" {
			continue
		}
		managed := false
		for option := range strings.SplitSeq(mount.Super, ",") {
			managed = managed || ours[option]
		}
		if !managed {
			return -1, nil
		}
		if seen[mount.Super] {
			// The same hierarchy, mounted elsewhere: in a container's root, say.
			continue
		}
		seen[mount.Super] = true
		binds = append(binds, specs.Mount{
			Destination: path.Join(target.Destination, path.Base(mount.Point)), Type: "bind",
			Source: path.Join(mount.Point, path.Clean(spec.Linux.CgroupsPath)), Options: append([]string{"rbind"}, target.Options...),
		})
	}
	if len(binds) == 1 {
		// The node has version 2.
		return -1, nil
	}
	return at, binds
}

// withOwnCgroups calls something while config.json has these mounts, and puts the former one back.
func withOwnCgroups(invocation Invocation, bundle *Bundle, spec *specs.Spec, act func() error) error {
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	at, binds := cgroupBinds(invocation, spec, mounts)
	if at < 0 {
		return act()
	}
	config := filepath.Join(bundle.Path, "config.json")
	before, err := readLimited(config, maxConfig)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	info, err := os.Stat(config)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	changed, err := replaceMount(before, at, binds)
	if err != nil {
		return err
	}
	if err := writeWhole(config, changed, info.Mode().Perm()); err != nil {
		return err
	}
	err = act()
	if putBack := writeWhole(config, before, info.Mode().Perm()); err == nil {
		err = putBack
	}
	return err
}

// replaceMount puts mounts in place of one, and leaves all else as raw as it came.
func replaceMount(config []byte, at int, by []specs.Mount) ([]byte, error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(config, &top); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	var mounts, changed []json.RawMessage
	if err := json.Unmarshal(top["mounts"], &mounts); err != nil {
		return nil, fmt.Errorf("config.json: mounts: %w", err)
	}
	if at >= len(mounts) {
		return nil, fmt.Errorf("config.json has %d mounts", len(mounts))
	}
	changed = append(changed, mounts[:at]...)
	for _, mount := range by {
		encoded, err := json.Marshal(mount)
		if err != nil {
			return nil, fmt.Errorf("config.json: %w", err)
		}
		changed = append(changed, encoded)
	}
	encoded, err := json.Marshal(append(changed, mounts[at+1:]...))
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	top["mounts"] = encoded
	return json.Marshal(top)
}
