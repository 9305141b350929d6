//go:build !linux

package proc

import (
	"context"
	"syscall"
	"time"

	"deadman"
)

// Elsewhere than on Linux nothing can be seen yet, and every answer says so.

var begin = time.Now()

// BootID is not known here.
func BootID() (string, error) { return "", ErrUnseen }

// Uptime is the time since this program began: good for differences only.
func Uptime() time.Duration { return time.Since(begin) }

// OfMonotonic cannot convert.
func OfMonotonic(at time.Duration) time.Duration { return at }

// InCgroup cannot see.
func InCgroup(pid int, group string) (bool, error) { return false, ErrUnseen }

// Read cannot see.
func Read(pid int) (Stat, error) { return Stat{}, ErrUnseen }

type status struct{ leader int }

func readStatus(pid int) (status, error) { return status{}, ErrUnseen }

// UIDs cannot see.
func UIDs(pid int) (real, effective int, err error) { return -1, -1, ErrUnseen }

// Exe cannot see.
func Exe(pid int) (string, error) { return "", ErrUnseen }

// Argv cannot see.
func Argv(pid int) ([]string, error) { return nil, ErrUnseen }

// Variable cannot see.
func Variable(pid int, name string) (string, error) { return "", ErrUnseen }

// Dir cannot see.
func Dir(pid int) (string, error) { return "", ErrUnseen }

// Carries cannot see.
func Carries(pid int, entry string) (bool, error) { return false, ErrUnseen }

// Contained cannot see.
func Contained(pid int) bool { return false }

// Networked: nothing is known.
func Networked(pid int) bool { return false }

// Scan cannot see.
func Scan() (Table, error) { return Table{Partial: true}, ErrUnseen }

// Listening cannot see.
func Listening(port int) ([]Socket, error) { return nil, ErrUnseen }

// Holds cannot see.
func Holds(pid int, sockets []Socket) (bool, error) { return false, ErrUnseen }

// Holders cannot see.
func Holders(sockets []Socket) ([]Stat, error) { return nil, ErrUnseen }

// Watch never sees an end; the channel is closed when ctx ends.
func Watch(ctx context.Context, p deadman.Process) <-chan Exit {
	out := make(chan Exit)
	context.AfterFunc(ctx, func() { close(out) })
	return out
}

// Signal cannot tell whether the pid is still that process's, and sends nothing.
func Signal(p deadman.Process, sig syscall.Signal) error { return ErrUnseen }

// ReapOrphans is for the first process of a namespace, which there is none of.
func ReapOrphans(ctx context.Context) {}
