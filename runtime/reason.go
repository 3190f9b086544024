package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Reason says in one word why a container was started cold. Events and metrics are named by it, so the set is closed:
// the contract between wrapper and agent lists it.
type Reason string

// The wrapper's own reasons. ImageUnavailable, ImageUntrusted, NotPermitted and TooManyFailures come from the agent
// and are passed through.
const (
	AgentUnavailable     Reason = "AgentUnavailable"
	DeadlineExceeded     Reason = "DeadlineExceeded"
	ImageUnavailable     Reason = "ImageUnavailable"
	ArchitectureMismatch Reason = "ArchitectureMismatch"
	CPUMismatch          Reason = "CpuMismatch"
	MountMismatch        Reason = "MountMismatch"
	UserMismatch         Reason = "UserMismatch"
	RuntimeMismatch      Reason = "RuntimeMismatch"
	RootfsDiffRefused    Reason = "RootfsDiffRefused"
	CriuMissing          Reason = "CriuMissing"
	RestoreFailed        Reason = "RestoreFailed"
	DiskFull             Reason = "DiskFull"
)

// Refusal is an error that knows its reason.
type Refusal struct {
	Reason  Reason
	Message string
}

func (refusal *Refusal) Error() string {
	return refusal.Message
}

func refuse(reason Reason, format string, values ...any) error {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, values...)}
}

// reasonOf is the reason of any error on the way to a restore; `otherwise` is for one that has none of its own.
func reasonOf(err error, otherwise Reason) Reason {
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal.Reason
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return DiskFull
	}
	return otherwise
}
