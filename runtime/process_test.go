package main

import (
	"testing"
)

func TestInCgroupOf(t *testing.T) {
	const id = "9f2b"
	for text, want := range map[string]bool{
		"0::/kubepods/burstable/pod1/9f2b\n":                               true,
		"4:memory:/a\n3:cpu,cpuacct:/kubepods/pod1/9f2b/below\n":           true,
		"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-9f2b.scope": true,
		"1:name=systemd:/9f2b":                                             true,
		"0::/kubepods/pod1/9f2":                                            false,
		"0::/kubepods/pod1/9f2bc\n":                                        false,
		"0::/kubepods/9f2b.scope\n":                                        false,
		"garbage":                                                          false,
		"":                                                                 false,
	} {
		if got := inCgroupOf(text, id); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
