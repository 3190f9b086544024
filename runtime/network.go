package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// networkOf is the pod's network namespace; "" where the container has none of a pod's.
func networkOf(spec *specs.Spec) string {
	return namespaceOf(spec, specs.NetworkNamespace)
}

// unlockNetwork opens a pod's network again. CRIU locks it while it restores, with rules that drop every packet, and a
// restore that fails leaves it so: the container that starts cold, and all others of its pod, would be cut off. The
// tools are those that CRIU itself used; where one is missing, CRIU has not locked with it.
func unlockNetwork(ctx context.Context, namespace string) error {
	if namespace == "" {
		return nil
	}
	err := inNamespace(namespace, unix.CLONE_NEWNET, func() error {
		for _, family := range []string{"iptables", "ip6tables"} {
			if err := unlockTables(ctx, family); err != nil {
				return err
			}
		}
		return dropTables(ctx)
	})
	if errors.Is(err, errNoNamespace) {
		// The pod has gone, and its network with it.
		return nil
	}
	return err
}

// unlockTables looks again after it has unlocked: only what is seen to be open counts.
func unlockTables(ctx context.Context, family string) error {
	if _, err := exec.LookPath(family + "-restore"); err != nil {
		return nil
	}
	for range 3 {
		rules, err := exec.CommandContext(ctx, family+"-save", "-t", "filter").Output()
		if err != nil {
			// The kernel has none of this family, so nothing is locked by it.
			return nil
		}
		script := unlockScript(string(rules))
		if script == "" {
			return nil
		}
		restore := exec.CommandContext(ctx, family+"-restore", "--noflush", "-w")
		restore.Stdin = strings.NewReader(script)
		if output, err := restore.CombinedOutput(); err != nil {
			return fmt.Errorf("%s-restore: %w: %.500s", family, err, output)
		}
	}
	return fmt.Errorf("%s: the pod's network stays locked", family)
}

// unlockScript undoes what CRIU has put into a filter table (criu/net.c: a chain of its own, and jumps to it out of
// INPUT and OUTPUT), however much of it there is. "" where there is nothing.
func unlockScript(rules string) string {
	var jumps []string
	chain := false
	for line := range strings.SplitSeq(rules, "\n") {
		switch {
		case strings.HasPrefix(line, ":CRIU "):
			chain = true
		case strings.HasPrefix(line, "-A ") && strings.HasSuffix(line, " -j CRIU"):
			jumps = append(jumps, "-D"+strings.TrimPrefix(line, "-A")+"\n")
		}
	}
	if !chain {
		return ""
	}
	return "*filter\n" + strings.Join(jumps, "") + "-F CRIU\n-X CRIU\nCOMMIT\n"
}

// dropTables removes CRIU's table where it locks by nftables: `CRIU`, or `CRIU-` and a number of the dump's.
func dropTables(ctx context.Context) error {
	if _, err := exec.LookPath("nft"); err != nil {
		return nil
	}
	tables, err := exec.CommandContext(ctx, "nft", "list", "tables", "inet").Output()
	if err != nil {
		return nil
	}
	for _, match := range regexp.MustCompile(`(?m)^table inet (CRIU(?:-[A-Za-z0-9-]+)?)$`).FindAllSubmatch(tables, -1) {
		name := string(match[1])
		output, err := exec.CommandContext(ctx, "nft", "delete", "table", "inet", name).CombinedOutput()
		if err != nil {
			return fmt.Errorf("nft delete table %s: %w: %.500s", name, err, output)
		}
	}
	return nil
}
