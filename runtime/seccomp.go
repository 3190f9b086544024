package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// ioUringCalls are the calls that make an io_uring. CRIU cannot freeze a process that has one, and programs that try it
// first (libuv, for one) do without where the kernel says that it has none.
func ioUringCalls() []string {
	return []string{"io_uring_setup", "io_uring_enter", "io_uring_register"}
}

// seccompRule is one entry of linux.seccomp.syscalls.
type seccompRule struct {
	Names    []string `json:"names"`
	Action   string   `json:"action"`
	ErrnoRet *uint    `json:"errnoRet,omitempty"`
}

const (
	actionAllow = "SCMP_ACT_ALLOW"
	actionErrno = "SCMP_ACT_ERRNO"
)

// denyIoUring makes io_uring answer ENOSYS, as a kernel without it does. It changes the bundle's config.json in memory
// and says whether it did.
//
// A profile that ends the program at these calls is left alone: it is stricter, and its author meant it. A privileged
// container has no profile on purpose, and stays so. A container that had no profile gets one that allows all else; it
// is loaded by runc's init while it still has CAP_SYS_ADMIN, so that noNewPrivileges need not be set.
func (bundle *Bundle) denyIoUring() (bool, error) {
	if bundle.Annotations[ioUringKey] == "allow" {
		return false, nil
	}
	linux, err := fields(bundle.top["linux"])
	if err != nil {
		return false, fmt.Errorf("config.json: linux: %w", err)
	}
	if linux == nil {
		return false, nil
	}
	profile, err := fields(linux["seccomp"])
	if err != nil {
		return false, fmt.Errorf("config.json: linux.seccomp: %w", err)
	}
	switch {
	case hasProfile(profile):
		profile, err = mergeDenial(profile)
	case bundle.privileged(linux) || !kernelHasSeccomp():
		return false, nil
	default:
		profile, err = newDenial(runtime.GOARCH)
	}
	if err != nil || profile == nil {
		return false, err
	}
	if linux["seccomp"], err = json.Marshal(profile); err != nil {
		return false, fmt.Errorf("linux.seccomp: %w", err)
	}
	if bundle.top["linux"], err = json.Marshal(linux); err != nil {
		return false, fmt.Errorf("linux: %w", err)
	}
	return true, nil
}

// fields are an object's fields, raw; nil where there is no object.
func fields(raw json.RawMessage) (map[string]json.RawMessage, error) {
	var object map[string]json.RawMessage
	if len(raw) == 0 {
		return nil, nil
	}
	err := json.Unmarshal(raw, &object)
	return object, err
}

// hasProfile follows runc (specconv.SetupSeccomp): a section with neither an action nor rules counts as none.
func hasProfile(profile map[string]json.RawMessage) bool {
	var action string
	var rules []json.RawMessage
	_ = json.Unmarshal(profile["defaultAction"], &action)
	_ = json.Unmarshal(profile["syscalls"], &rules)
	return action != "" || len(rules) > 0
}

// mergeDenial puts our rule into an existing profile. libseccomp takes one unconditional rule for a call, so the calls
// are taken out of the rules that let them through. nil where there is nothing to change.
func mergeDenial(profile map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	var rules []map[string]json.RawMessage
	if raw := profile["syscalls"]; len(raw) > 0 {
		if err := json.Unmarshal(raw, &rules); err != nil {
			return nil, fmt.Errorf("config.json: linux.seccomp.syscalls: %w", err)
		}
	}
	var fallback string
	if err := json.Unmarshal(profile["defaultAction"], &fallback); err != nil {
		return nil, fmt.Errorf("config.json: linux.seccomp.defaultAction: %w", err)
	}
	denied, err := deniedCalls(rules, fallback)
	if err != nil || len(denied) == 0 {
		return nil, err
	}
	kept, err := withoutCalls(rules, names(denied...))
	if err != nil {
		return nil, err
	}
	rule, err := json.Marshal(denial(denied))
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(append([]json.RawMessage{rule}, kept...))
	if err != nil {
		return nil, err
	}
	merged := make(map[string]json.RawMessage, len(profile))
	for name, raw := range profile {
		merged[name] = raw
	}
	merged["syscalls"] = encoded
	return merged, nil
}

// deniedCalls are the calls that our rule is to name: those that nothing stricter than an error answers now.
func deniedCalls(rules []map[string]json.RawMessage, fallback string) ([]string, error) {
	strict := map[string]bool{}
	listed := map[string]bool{}
	for _, rule := range rules {
		var calls []string
		var action string
		if err := json.Unmarshal(rule["names"], &calls); err != nil {
			return nil, fmt.Errorf("config.json: linux.seccomp.syscalls: names: %w", err)
		}
		if err := json.Unmarshal(rule["action"], &action); err != nil {
			return nil, fmt.Errorf("config.json: linux.seccomp.syscalls: action: %w", err)
		}
		for _, call := range calls {
			listed[call] = true
			strict[call] = strict[call] || endsProgram(action)
		}
	}
	var denied []string
	for _, call := range ioUringCalls() {
		if strict[call] || !listed[call] && endsProgram(fallback) {
			continue
		}
		denied = append(denied, call)
	}
	return denied, nil
}

// endsProgram says whether an action stops the caller rather than answering it.
func endsProgram(action string) bool {
	switch action {
	case "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP":
		return true
	}
	return false
}

// withoutCalls are the rules less the given calls; a rule that named nothing else goes.
func withoutCalls(rules []map[string]json.RawMessage, calls map[string]bool) ([]json.RawMessage, error) {
	kept := make([]json.RawMessage, 0, len(rules))
	for _, rule := range rules {
		var all, left []string
		if err := json.Unmarshal(rule["names"], &all); err != nil {
			return nil, err
		}
		for _, call := range all {
			if !calls[call] {
				left = append(left, call)
			}
		}
		if len(left) == 0 && len(all) > 0 {
			continue
		}
		if len(left) < len(all) {
			encoded, err := json.Marshal(left)
			if err != nil {
				return nil, err
			}
			rule["names"] = encoded
		}
		encoded, err := json.Marshal(rule)
		if err != nil {
			return nil, err
		}
		kept = append(kept, encoded)
	}
	return kept, nil
}

func denial(calls []string) seccompRule {
	errno := uint(unix.ENOSYS)
	return seccompRule{Names: calls, Action: actionErrno, ErrnoRet: &errno}
}

// newDenial is a profile for a container without one: it allows all but our calls.
func newDenial(architecture string) (map[string]json.RawMessage, error) {
	profile := map[string]any{
		"defaultAction": actionAllow,
		"syscalls":      []seccompRule{denial(ioUringCalls())},
	}
	if native := seccompArchitectures(architecture); native != nil {
		profile["architectures"] = native
	}
	encoded, err := json.Marshal(profile)
	if err != nil {
		return nil, err
	}
	return fields(encoded)
}

// seccompArchitectures are all the call tables of a machine. libseccomp kills a program that calls through a table that
// the filter does not name, so the older ones of the same machine belong here, too (containerd's default profile lists
// the same).
func seccompArchitectures(architecture string) []string {
	switch architecture {
	case "amd64":
		return []string{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}
	case "arm64":
		return []string{"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}
	case "s390x":
		return []string{"SCMP_ARCH_S390X", "SCMP_ARCH_S390"}
	}
	// An empty list means the native table, and these have no other.
	return nil
}

// privileged recognises a privileged container by what containerd's CRI plugin makes of one: CAP_SYS_ADMIN and
// CAP_SYS_MODULE, and no masked paths. config.json does not say it in a word.
func (bundle *Bundle) privileged(linux map[string]json.RawMessage) bool {
	var process struct {
		Capabilities struct {
			Bounding []string `json:"bounding"`
		} `json:"capabilities"`
	}
	var masked []string
	_ = json.Unmarshal(bundle.top["process"], &process)
	_ = json.Unmarshal(linux["maskedPaths"], &masked)
	bounding := names(process.Capabilities.Bounding...)
	return bounding["CAP_SYS_ADMIN"] && bounding["CAP_SYS_MODULE"] && len(masked) == 0
}

// kernelHasSeccomp asks the kernel; where it has none, a profile would keep the container from starting.
func kernelHasSeccomp() bool {
	return unix.Prctl(unix.PR_GET_SECCOMP, 0, 0, 0, 0) == nil
}
