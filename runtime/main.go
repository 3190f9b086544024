// Command ksnap-runc stands between a containerd shim and runc. It is runc, except that it restores an annotated
// container instead of creating it, and that it keeps containers of its runtime class freezable.
//
// It runs at every container operation of the class, so whatever it does not care about it hands to runc by exec, with
// no process of its own left behind. And it is never the reason why a container does not start: whatever goes wrong
// here ends in the `runc create` that was asked for.
//
// Build: CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o ksnap-runc .
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	os.Exit(run(os.Args))
}

// run answers one invocation. It returns only where runc was not entered: with 0 after a restore, with 1 where neither
// a restored nor a cold container can be had.
func run(argv []string) int {
	node := loadNode()
	if len(argv) == 2 {
		switch argv[1] {
		case selfTestCommand:
			return selfTest(node)
		case selfTestGuest:
			time.Sleep(time.Hour)
			return 0
		}
	}
	invocation, err := parseArgs(argv[1:])
	if err == nil {
		if done, code := handle(node, invocation); done {
			return code
		}
	} else if log, ok := value(invocation.Global, "log"); ok && log != "" {
		// A runc of tomorrow may have an option that is not known here; nothing else would say why nothing is restored.
		invocation.writeLog(levelWarning, fmt.Errorf("passed on as it is: %w", err))
	}
	// Where the command line is wrong, runc says so.
	if err := node.enterRunc(argv); err != nil {
		invocation.writeLog(levelError, err)
	}
	return 1
}

// handle does what is to be done before runc is entered; `done` means that it must not be entered any more. A panic is
// a fault of ours, and the container gets its runc all the same.
func handle(node Node, invocation Invocation) (done bool, code int) {
	defer func() {
		if fault := recover(); fault != nil {
			invocation.writeLog(levelWarning, fmt.Errorf("%s: internal fault: %v", invocation.Command, fault))
			done, code = false, 0
		}
	}()
	switch invocation.Command {
	case "create":
		return create(node, invocation)
	case "start":
		return startedByRestore(node, invocation), 0
	case "kill":
		noteSignal(node, invocation)
	case "delete":
		return prepareDelete(node, invocation)
	case "checkpoint":
		prepareCheckpoint(invocation)
		enterFreeze(node, invocation)
	}
	return false, 0
}
