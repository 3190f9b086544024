package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// create makes the container freezable, and restores it if its pod asks for that. `done` is false where runc is to
// create it, which is the answer to everything that goes wrong.
func create(node Node, invocation Invocation) (done bool, code int) {
	bundle, err := openBundle(invocation.Bundle())
	if err != nil || !bundle.isContainer() {
		// What is wrong with a bundle, runc says better.
		return false, 0
	}
	if err := makeFreezable(bundle); err != nil {
		invocation.writeLog(levelWarning, err)
		return false, 0
	}
	identity, ok, err := bundle.wanted(invocation.ID)
	if err != nil {
		invocation.writeLog(levelWarning, err)
	}
	if !ok {
		return false, 0
	}
	attempt := &attempt{node: node, invocation: invocation, bundle: bundle, identity: identity, began: time.Now()}
	return attempt.start()
}

// makeFreezable changes config.json in one go: io_uring answers that it is not there, /dev/shm is the container's own if
// its pod says so, and CRIU's options are named.
// runc keeps the latter in the container's state, so that they hold for any later `runc checkpoint`, whoever calls it.
func makeFreezable(bundle *Bundle) error {
	changed, err := bundle.denyIoUring()
	if err != nil {
		return err
	}
	own, err := bundle.ownSharedMemory()
	if err != nil {
		return err
	}
	changed = changed || own
	if _, ok := bundle.Annotations[criuConfigKey]; !ok {
		path := filepath.Join(bundle.work(), criuConfigFile)
		if err := writeCriuConfig(path, false); err != nil {
			return err
		}
		if err := bundle.setAnnotation(criuConfigKey, path); err != nil {
			return err
		}
		changed = true
	}
	if !changed {
		return nil
	}
	return bundle.save()
}

// attempt is one try to restore one container.
type attempt struct {
	node       Node
	invocation Invocation
	bundle     *Bundle
	identity   Identity
	began      time.Time
	took       Durations
	pid        int
	ticks      uint64
	// overlay is set once the root file system may have been changed.
	overlay *Overlay
	// restore is set once runc restore may have left something.
	restore *Restore
	// shared is what the image's shared memory must find free, before a restore and after one that failed.
	shared *SharedMemory
	// relay holds the terminal of a container that has one, until the shim is given it.
	relay *ConsoleRelay
}

// start restores or makes way for a cold start, and says which in record and outcome.
func (attempt *attempt) start() (done bool, code int) {
	if err := removeRecord(attempt.node.State, attempt.identity.ContainerID); err != nil {
		attempt.invocation.writeLog(levelWarning, err)
	}
	err := attempt.try()
	record := attempt.record(err)
	if err == nil {
		// `start` goes by the record; without it, it would start the container a second time.
		err = record.write(attempt.node.State)
	}
	if err == nil {
		// The last step, since there is no way back from it: the shim takes one terminal and no second.
		err = attempt.handOver()
	}
	if attempt.relay != nil {
		_ = attempt.relay.Close()
	}
	if err == nil {
		attempt.report(record)
		return true, 0
	}
	undone := attempt.undo()
	if undone != nil {
		err = fmt.Errorf("%w (%w)", err, undone)
	}
	if err := attempt.giveBackHostName(); err != nil {
		attempt.invocation.writeLog(levelWarning, err)
	}
	record = attempt.record(err)
	if writeErr := record.write(attempt.node.State); writeErr != nil {
		attempt.invocation.writeLog(levelWarning, writeErr)
	}
	attempt.report(record)
	if undone != nil {
		// Neither restored nor clean: such a container must not run. Its next try has a new bundle and root.
		attempt.invocation.writeLog(levelError, err)
		return true, 1
	}
	attempt.invocation.writeLog(levelWarning, fmt.Errorf("cold start: %w", err))
	return false, 0
}

// try is the restoring path. A fault in it is an error as any other, so that it is undone as well.
func (attempt *attempt) try() (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("internal fault: %v", fault)
		}
	}()
	ctx, cancel := context.WithDeadline(context.Background(), attempt.began.Add(attempt.node.Deadline))
	defer cancel()
	if err := attempt.checkCommand(); err != nil {
		return err
	}
	image, spec, root, err := attempt.prepare(ctx)
	if err != nil {
		return err
	}
	if err := attempt.apply(ctx, image, root); err != nil {
		return err
	}
	return attempt.enter(ctx, image, spec, root)
}

// checkCommand refuses what a restore cannot do, before anyone is asked for anything.
func (attempt *attempt) checkCommand() error {
	if !criuInPath() {
		return refuse(CriuMissing, "There is no criu in PATH on this node")
	}
	if _, ok := value(attempt.invocation.Options, "pidfd-socket"); ok {
		return refuse(RuntimeMismatch, "runc restore has no --pidfd-socket")
	}
	if count, ok := value(attempt.invocation.Options, "preserve-fds"); ok && count != "0" {
		return refuse(RuntimeMismatch, "runc restore has no --preserve-fds")
	}
	return nil
}

// prepare gets the image and sees whether it fits.
func (attempt *attempt) prepare(ctx context.Context) (*Image, *specs.Spec, string, error) {
	began := time.Now()
	defer func() { attempt.took.PrepareMS = time.Since(began).Milliseconds() }()
	digest, err := imageDigest(attempt.identity.Image)
	if err != nil {
		return nil, nil, "", err
	}
	spec, err := attempt.bundle.spec()
	if err != nil {
		return nil, nil, "", err
	}
	root, err := rootfs(attempt.bundle, spec)
	if err != nil {
		return nil, nil, "", err
	}
	path, err := Agent{attempt.node.Socket}.Prepare(ctx, attempt.identity)
	if err != nil {
		return nil, nil, "", err
	}
	image, err := openImage(path)
	if err != nil {
		return nil, nil, "", err
	}
	if err := checkFit(image, spec, digest, runtime.GOARCH); err != nil {
		return nil, nil, "", err
	}
	if err := fitProcessor(image); err != nil {
		return nil, nil, "", err
	}
	return image, spec, root, nil
}

// apply brings the root file system to the frozen container's state; nothing is touched before all of it is checked
// and there is a way back.
func (attempt *attempt) apply(ctx context.Context, image *Image, path string) error {
	began := time.Now()
	defer func() { attempt.took.ApplyMS = time.Since(began).Milliseconds() }()
	root, err := openRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	plan, err := planDiff(ctx, image, root)
	if err != nil {
		return withReason(err, RootfsDiffRefused)
	}
	if plan.empty() {
		return nil
	}
	if err := plan.checkSpace(path); err != nil {
		return err
	}
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	overlay, err := findOverlay(mounts, path)
	if err != nil {
		return refuse(RootfsDiffRefused, "The root file system cannot be taken back after a failure: %v", err)
	}
	if untouched, err := overlay.untouched(); err != nil || !untouched {
		return withReason(errors.Join(errors.New("the root file system has changes already"), err), RootfsDiffRefused)
	}
	attempt.overlay = overlay
	return withReason(applyDiff(ctx, image, plan, root), RootfsDiffRefused)
}

// enter runs `runc restore` and makes sure of its result.
func (attempt *attempt) enter(ctx context.Context, image *Image, spec *specs.Spec, root string) error {
	began := time.Now()
	defer func() { attempt.took.CriuMS = time.Since(began).Milliseconds() }()
	if err := ctx.Err(); err != nil {
		return err
	}
	runc, err := attempt.node.findRunc()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(attempt.node.State, 0o700); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	attempt.shared = sharedMemoryOf(image, spec)
	if err := attempt.shared.clear(); err != nil {
		return err
	}
	pidFile, ok := value(attempt.invocation.Options, "pid-file")
	if !ok || pidFile == "" {
		pidFile = filepath.Join(attempt.bundle.work(), "restored.pid")
	}
	images, err := attempt.images(image, spec)
	if err != nil {
		return err
	}
	console, err := attempt.listen()
	if err != nil {
		return err
	}
	attempt.restore = &Restore{
		runc: runc, invocation: attempt.invocation, bundle: attempt.bundle, rootfs: root, pidFile: pidFile,
		network: networkOf(spec),
		marker:  markerPath(attempt.node.State, attempt.identity.ContainerID),
	}
	args := restoreArgs(attempt.invocation, attempt.bundle, images, pidFile, console)
	args = append(append(args, lsmArgs(image.Spec, spec)...), attempt.invocation.ID)
	if err := attempt.runIn(ctx, root, spec, args); err != nil {
		return err
	}
	if attempt.pid, err = attempt.restore.pid(); err != nil {
		return err
	}
	ticks, alive := processStart(attempt.pid)
	if !alive {
		return refuse(RestoreFailed, "The restored process ended at once%s", attempt.restore.quoteLog())
	}
	attempt.ticks = ticks
	return nil
}

// runIn runs `runc restore`, with what CRIU needs in the root file system for that time.
func (attempt *attempt) runIn(ctx context.Context, root string, spec *specs.Spec, args []string) error {
	folder, err := makePivotFolder(root, spec)
	if err != nil {
		return err
	}
	err = withOwnCgroups(attempt.invocation, attempt.bundle, spec, func() error { return attempt.restore.run(ctx, args) })
	if removeErr := folder.remove(); removeErr != nil {
		// An empty folder too much is no reason to end a process that runs.
		attempt.invocation.writeLog(levelWarning, removeErr)
	}
	return err
}

// listen makes a console socket of our own where the shim has one; its path is what runc is told.
func (attempt *attempt) listen() (string, error) {
	target, ok := value(attempt.invocation.Options, "console-socket")
	if !ok || target == "" {
		return "", nil
	}
	relay, err := listenForConsole(attempt.node.State, attempt.identity.ContainerID, target)
	if err != nil {
		return "", err
	}
	attempt.relay = relay
	return relay.path, nil
}

// handOver ends a restore that has succeeded.
func (attempt *attempt) handOver() error {
	if attempt.relay != nil {
		if err := attempt.relay.Forward(time.Now().Add(time.Second)); err != nil {
			return err
		}
	}
	attempt.restore.settle()
	return nil
}

// undo leaves nothing of the try: no process, no mount, no state of runc's, no change of the root file system.
func (attempt *attempt) undo() (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("internal fault: %v", fault)
		}
	}()
	if attempt.restore != nil {
		if err := attempt.restore.remove(); err != nil {
			return fmt.Errorf("remove the failed restore: %w", err)
		}
		if err := attempt.shared.clear(); err != nil {
			return fmt.Errorf("remove the failed restore: %w", err)
		}
		_ = os.Remove(attempt.restore.marker)
	}
	if attempt.overlay != nil {
		return attempt.overlay.reset()
	}
	return nil
}

// record is the start in the contract's words; without an error it was a restore.
func (attempt *attempt) record(err error) Record {
	attempt.took.TotalMS = time.Since(attempt.began).Milliseconds()
	record := Record{
		Version: protocolVersion, Identity: attempt.identity, At: atTime(time.Now()), BootMS: sinceBoot().Milliseconds(),
		Durations: attempt.took,
	}
	if err != nil {
		record.Reason, record.Message = reasonOf(err, RestoreFailed), shorten(err.Error(), maxMessage)
		return record
	}
	record.Restored, record.PID, record.StartTicks = true, attempt.pid, attempt.ticks
	return record
}

func (attempt *attempt) report(record Record) {
	// Its loss changes nothing; the agent has the record, too.
	_ = Agent{attempt.node.Socket}.Outcome(outcomeRequest{
		Identity: record.Identity, Restored: record.Restored, Reason: record.Reason, Message: record.Message,
		Durations: record.Durations,
	})
}

// withReason gives an error a reason unless it has one.
func withReason(err error, reason Reason) error {
	if err == nil {
		return nil
	}
	return refuse(reasonOf(err, reason), "%s", err.Error())
}
