package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func hierarchy(point, super string) Mount {
	return Mount{Root: "/", Point: point, Type: "cgroup", Super: super}
}

func cgroupSpec() *specs.Spec {
	return &specs.Spec{
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc"},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "ro"}},
		},
		Linux: &specs.Linux{CgroupsPath: "/kubepods/burstable/pod1/id"},
	}
}

func TestCgroupMountIsTheContainersOwnFolders(t *testing.T) {
	mounts := []Mount{
		{Point: "/sys/fs/cgroup", Type: "tmpfs"}, hierarchy("/sys/fs/cgroup/memory", "rw,memory"),
		hierarchy("/sys/fs/cgroup/cpu,cpuacct", "rw,cpu,cpuacct"), hierarchy("/sys/fs/cgroup/systemd", "rw,name=systemd"),
		{Point: "/sys/fs/cgroup/unified", Type: "cgroup2", Super: "rw"},
		// A container's view of the same.
		hierarchy("/run/x/rootfs/sys/fs/cgroup/memory", "rw,memory"),
	}
	at, binds := cgroupBinds(Invocation{}, cgroupSpec(), mounts)
	var ways []string
	for _, bind := range binds[1:] {
		if bind.Type != "bind" || !slices.Equal(bind.Options, []string{"rbind", "nosuid", "ro"}) {
			t.Errorf("%+v", bind)
		}
		ways = append(ways, bind.Source+" > "+bind.Destination)
	}
	same(t, ways,
		"/sys/fs/cgroup/memory/kubepods/burstable/pod1/id > /sys/fs/cgroup/memory",
		"/sys/fs/cgroup/cpu,cpuacct/kubepods/burstable/pod1/id > /sys/fs/cgroup/cpu,cpuacct",
		"/sys/fs/cgroup/systemd/kubepods/burstable/pod1/id > /sys/fs/cgroup/systemd")
	if at != 1 || binds[0].Type != "tmpfs" || binds[0].Destination != "/sys/fs/cgroup" {
		t.Error(at, binds[0])
	}
}

func TestCgroupMountIsLeftWhereItIsNotForUs(t *testing.T) {
	memory := []Mount{hierarchy("/sys/fs/cgroup/memory", "rw,memory")}
	for name, given := range map[string]struct {
		global []Option
		mounts []Mount
		change func(spec *specs.Spec)
	}{
		"version 2":           {nil, []Mount{{Point: "/sys/fs/cgroup", Type: "cgroup2", Super: "rw"}}, func(*specs.Spec) {}},
		"systemd's driver":    {[]Option{{"systemd-cgroup", ""}}, memory, func(*specs.Spec) {}},
		"a namespace":         {nil, memory, func(spec *specs.Spec) { spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.CgroupNamespace}} }},
		"no cgroup's mount":   {nil, memory, func(spec *specs.Spec) { spec.Mounts = spec.Mounts[:1] }},
		"two of them":         {nil, memory, func(spec *specs.Spec) { spec.Mounts = append(spec.Mounts, spec.Mounts[1]) }},
		"below runc's own":    {nil, memory, func(spec *specs.Spec) { spec.Linux.CgroupsPath = "relative" }},
		"unknown hierarchies": {nil, append(memory, hierarchy("/sys/fs/cgroup/x", "rw,name=x")), func(*specs.Spec) {}},
	} {
		spec := cgroupSpec()
		given.change(spec)
		if at, binds := cgroupBinds(Invocation{Global: given.global}, spec, given.mounts); at >= 0 || binds != nil {
			t.Errorf("%s: %d %v", name, at, binds)
		}
	}
}

func TestReplacedMountLeavesAllElseAsItCame(t *testing.T) {
	config := `{"unknown": {"b": 1, "a": 1.50}, "mounts": [{"destination": "/a", "new": true}, {"destination": "/b"}, {"destination": "/c"}]}`
	changed, err := replaceMount([]byte(config), 1, []specs.Mount{{Destination: "/x"}, {Destination: "/y"}})
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Unknown json.RawMessage
		Mounts  []json.RawMessage
	}
	if err := json.Unmarshal(changed, &read); err != nil || string(read.Unknown) != `{"b":1,"a":1.50}` || len(read.Mounts) != 4 {
		t.Fatal(string(changed), err)
	}
	if got := string(read.Mounts[0]); !strings.Contains(got, `"new":true`) {
		t.Error(got)
	}
	for at, want := range []string{"/a", "/x", "/y", "/c"} {
		if !strings.Contains(string(read.Mounts[at]), `"`+want+`"`) {
			t.Error(at, string(read.Mounts[at]))
		}
	}
	for _, text := range []string{"", "{}", `{"mounts": 1}`, `{"mounts": [{}]}`} {
		if _, err := replaceMount([]byte(text), 1, nil); err == nil {
			t.Error(text)
		}
	}
}
