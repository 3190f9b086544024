package main

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func deniedSpec(t *testing.T, config string) (*specs.LinuxSeccomp, bool) {
	t.Helper()
	bundle := bundleOf(t, config)
	changed, err := bundle.denyIoUring()
	if err != nil {
		t.Fatal(err)
	}
	if err := bundle.save(); err != nil {
		t.Fatal(err)
	}
	var spec specs.Spec
	if err := json.Unmarshal([]byte(read(t, filepath.Join(bundle.Path, "config.json"))), &spec); err != nil {
		t.Fatal(err)
	}
	return spec.Linux.Seccomp, changed
}

func TestContainerWithoutProfileGetsOneThatDeniesIoUringOnly(t *testing.T) {
	profile, changed := deniedSpec(t, `{"linux": {"maskedPaths": ["/proc/kcore"], "cgroupsPath": "/x"}}`)
	if !changed || profile.DefaultAction != "SCMP_ACT_ALLOW" || len(profile.Syscalls) != 1 {
		t.Fatalf("%+v", profile)
	}
	rule := profile.Syscalls[0]
	if !reflect.DeepEqual(rule.Names, []string{"io_uring_setup", "io_uring_enter", "io_uring_register"}) ||
		rule.Action != "SCMP_ACT_ERRNO" || *rule.ErrnoRet != 38 {
		t.Fatalf("%+v", rule)
	}
}

func TestNewProfileNamesEveryCallTableOfTheMachine(t *testing.T) {
	for architecture, want := range map[string][]string{
		"amd64":   {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"},
		"arm64":   {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"},
		"ppc64le": nil,
	} {
		if got := seccompArchitectures(architecture); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", architecture, got)
		}
	}
}

func TestDenialIsMergedIntoAProfile(t *testing.T) {
	profile, changed := deniedSpec(t, `{"linux": {"seccomp": {
		"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"], "flags": [],
		"syscalls": [
			{"names": ["read", "io_uring_setup", "write"], "action": "SCMP_ACT_ALLOW"},
			{"names": ["io_uring_enter"], "action": "SCMP_ACT_ALLOW"},
			{"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}]}]}}}`)
	if !changed || len(profile.Syscalls) != 3 || profile.Flags == nil || *profile.DefaultErrnoRet != 1 {
		t.Fatalf("%+v", profile)
	}
	if first := profile.Syscalls[0]; len(first.Names) != 3 || *first.ErrnoRet != 38 {
		t.Fatalf("%+v", first)
	}
	if !reflect.DeepEqual(profile.Syscalls[1].Names, []string{"read", "write"}) {
		t.Fatalf("%+v", profile.Syscalls[1])
	}
	if profile.Syscalls[2].Args[0].Value != 2114060288 {
		t.Fatalf("%+v", profile.Syscalls[2])
	}
}

func TestStricterProfilesStay(t *testing.T) {
	for _, config := range []string{
		`{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_KILL", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}}}`,
		`{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names":
			["io_uring_setup", "io_uring_enter", "io_uring_register"], "action": "SCMP_ACT_KILL_PROCESS"}]}}}`,
	} {
		if profile, changed := deniedSpec(t, config); changed {
			t.Errorf("%+v", profile)
		}
	}
	profile, changed := deniedSpec(t, `{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
		{"names": ["io_uring_setup"], "action": "SCMP_ACT_TRAP"}]}}}`)
	if !changed || !reflect.DeepEqual(profile.Syscalls[0].Names, []string{"io_uring_enter", "io_uring_register"}) ||
		profile.Syscalls[1].Action != "SCMP_ACT_TRAP" {
		t.Fatalf("%+v", profile)
	}
}

func TestIoUringStaysWhereItIsWantedOrUnbounded(t *testing.T) {
	for _, config := range []string{
		`{"annotations": {"ksnap.dev/io-uring": "allow"}, "linux": {}}`,
		`{"process": {"capabilities": {"bounding": ["CAP_SYS_ADMIN", "CAP_SYS_MODULE"]}}, "linux": {}}`,
	} {
		if profile, changed := deniedSpec(t, config); changed || profile != nil {
			t.Errorf("%+v", profile)
		}
	}
	if _, changed := deniedSpec(t, `{"process": {"capabilities": {"bounding": ["CAP_SYS_ADMIN"]}}, "linux": {}}`); !changed {
		t.Error("one capability does not make a privileged container")
	}
}

func TestDenialTwiceIsDenialOnce(t *testing.T) {
	bundle := bundleOf(t, `{"linux": {}}`)
	for range 2 {
		if _, err := bundle.denyIoUring(); err != nil {
			t.Fatal(err)
		}
	}
	if count := strings.Count(string(bundle.top["linux"]), "io_uring_setup"); count != 1 {
		t.Fatal(string(bundle.top["linux"]))
	}
}

func TestProfilesThatAreNoneAreErrors(t *testing.T) {
	for _, config := range []string{
		`{"linux": []}`, `{"linux": {"seccomp": "x"}}`,
		`{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": "read"}]}}}`,
		`{"linux": {"seccomp": {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}}}`,
	} {
		if changed, err := bundleOf(t, config).denyIoUring(); err == nil {
			t.Errorf("%s: %v", config, changed)
		}
	}
}
