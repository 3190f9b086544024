package main

import (
	"errors"
	"fmt"
	"strings"
)

// defaultRoot is where runc keeps the state of containers unless --root says otherwise.
const defaultRoot = "/run/runc"

// Option is one option as it was written, so that it can be handed on.
type Option struct {
	Name  string // without dashes, and in its long form
	Value string // empty for a switch
}

// Invocation is runc's command line, understood as far as it is needed.
type Invocation struct {
	Global  []Option
	Command string
	Options []Option
	ID      string
}

// valued and switches are runc 1.3's options (main.go, create.go, start.go, kill.go, delete.go, checkpoint.go
// there). An option
// that is not listed makes the line unreadable, and it goes to runc as it is.
func globalOptions() optionTable {
	return optionTable{
		valued:   names("log", "log-format", "root", "criu", "rootless"),
		switches: names("debug", "systemd-cgroup"),
	}
}

func commandOptions(command string) (optionTable, bool) {
	switch command {
	case "create":
		return optionTable{
			valued:   names("bundle", "console-socket", "pidfd-socket", "pid-file", "preserve-fds"),
			switches: names("no-pivot", "no-new-keyring"),
			short:    map[string]string{"b": "bundle"},
		}, true
	case "start":
		return optionTable{}, true
	case "delete":
		return optionTable{switches: names("force"), short: map[string]string{"f": "force"}}, true
	case "kill":
		return optionTable{
			switches: names("all"),
			short:    map[string]string{"a": "all"},
			// The signal; without it, runc sends SIGTERM.
			more: 1,
		}, true
	case "checkpoint":
		return optionTable{
			valued: names("image-path", "work-path", "parent-path", "status-fd", "page-server",
				"manage-cgroups-mode", "empty-ns"),
			switches: names("leave-running", "tcp-established", "tcp-skip-in-flight", "link-remap", "ext-unix-sk",
				"shell-job", "lazy-pages", "file-locks", "pre-dump", "auto-dedup"),
		}, true
	}
	return optionTable{}, false
}

type optionTable struct {
	valued   map[string]bool
	switches map[string]bool
	short    map[string]string
	// more is how many operands may follow the container's id.
	more int
}

func names(list ...string) map[string]bool {
	table := make(map[string]bool, len(list))
	for _, name := range list {
		table[name] = true
	}
	return table
}

// parseArgs reads what follows the program's name. Commands that the wrapper passes on are not read any further than
// their name.
func parseArgs(args []string) (Invocation, error) {
	var invocation Invocation
	rest, global, err := globalOptions().take(args, true)
	if err != nil {
		return invocation, err
	}
	if len(rest) == 0 || rest[0] == "" {
		return invocation, errors.New("no command")
	}
	invocation.Global = global
	invocation.Command = rest[0]
	table, known := commandOptions(invocation.Command)
	if !known {
		return invocation, nil
	}
	operands, options, err := table.take(rest[1:], false)
	if err != nil {
		return invocation, fmt.Errorf("%s: %w", invocation.Command, err)
	}
	if len(operands) < 1 || len(operands) > 1+table.more || !validID(operands[0]) {
		return invocation, fmt.Errorf("%s: not one container id", invocation.Command)
	}
	invocation.Options = options
	invocation.ID = operands[0]
	return invocation, nil
}

// take separates options from operands. runc's parser (urfave/cli 1) lets a command's options stand after the operand
// as well, but the program's own only before the command.
func (table optionTable) take(args []string, stopAtOperand bool) (operands []string, options []Option, err error) {
	for at := 0; at < len(args); at++ {
		word := args[at]
		if word == "--" {
			return append(operands, args[at+1:]...), options, nil
		}
		if len(word) < 2 || word[0] != '-' {
			if stopAtOperand {
				return args[at:], options, nil
			}
			operands = append(operands, word)
			continue
		}
		name, value, joined := strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
		if long, ok := table.short[name]; ok {
			name = long
		}
		switch {
		case table.valued[name]:
			if !joined {
				at++
				if at == len(args) {
					return nil, nil, fmt.Errorf("option %q has no value", name)
				}
				value = args[at]
			}
		case table.switches[name]:
			if joined && value != "true" {
				return nil, nil, fmt.Errorf("switch %q has the value %q", name, value)
			}
			value = ""
		default:
			return nil, nil, fmt.Errorf("unknown option %q", name)
		}
		options = append(options, Option{Name: name, Value: value})
	}
	return operands, options, nil
}

// value is the option's last value, as runc takes it.
func value(options []Option, name string) (string, bool) {
	for at := len(options) - 1; at >= 0; at-- {
		if options[at].Name == name {
			return options[at].Value, true
		}
	}
	return "", false
}

// Root is the folder of runc's container states.
func (invocation Invocation) Root() string {
	if root, ok := value(invocation.Global, "root"); ok {
		return root
	}
	return defaultRoot
}

// Bundle is the container's bundle; runc takes the working directory where none is named.
func (invocation Invocation) Bundle() string {
	if bundle, ok := value(invocation.Options, "bundle"); ok && bundle != "" {
		return bundle
	}
	return "."
}

// validID says whether runc accepts the id (libcontainer's validateID). It also makes the id safe as a file's name.
func validID(id string) bool {
	if id == "" || id == "." || id == ".." || len(id) > 200 {
		return false
	}
	for _, char := range []byte(id) {
		switch {
		case char >= 'a' && char <= 'z', char >= 'A' && char <= 'Z', char >= '0' && char <= '9':
		case char == '_', char == '+', char == '-', char == '.':
		default:
			return false
		}
	}
	return true
}
