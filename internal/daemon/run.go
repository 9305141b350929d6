package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"deadman"
	"deadman/internal/lifecycle"
	"deadman/internal/proc"
)

// Signals are those that Run hears. All are forwarded to the agent.
type Signals struct {
	// End is for what asks the agent to end, and Run with it.
	End <-chan os.Signal
	// Pass is for what means something to the agent alone.
	Pass <-chan os.Signal
}

// Run starts and guards one child agent in the foreground until a signal ends
// it or it ends as planned. The exit status is the agent's. What it prints goes
// to out. As the first process of a pid namespace it reaps orphans.
func (d *Daemon) Run(ctx context.Context, name string, signals Signals, out io.Writer, warn func(string)) (int, error) {
	a, err := d.agent(name)
	if err != nil {
		return 0, err
	}
	if a.Supervisor.Child == nil {
		return 0, &saidError{fmt.Sprintf("cannot run %s: its supervisor is not child", name), "`deadman watch` guards agents that something else starts"}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w := &watch{d: d, ctx: ctx, warn: warn, kick: make(chan struct{}, 1)}
	l, err := acquire(ctx, d.agentDir(name), name, true, 0)
	var busy *BusyError
	if errors.As(err, &busy) {
		busy.Foreground = true
	}
	if err != nil {
		return 0, err
	}
	defer l.release()
	k, err := d.newKeeper(ctx, name)
	if err != nil {
		return 0, err
	}
	defer k.close()
	ears, err := listen(d.agentDir(name), warn)
	if err != nil {
		return 0, err
	}
	defer ears.close()

	if os.Getpid() == 1 {
		go proc.ReapOrphans(ctx)
	}
	tail := newTail(filepath.Join(k.world.dir, "output.log"), out)
	defer tail.copy() // What it printed last.
	go tail.follow(ctx)
	if in, err := k.world.sup.Inspect(ctx); err == nil && in.Presence == deadman.Gone {
		if err := k.guard.Resume(ctx); err != nil {
			return 0, err
		}
		if err := k.guard.Hear(ctx, lifecycle.Word{Verb: lifecycle.StartNow}); err != nil {
			return 0, err
		}
	}
	end := make(chan int, 1)
	guarded := make(chan error, 1)
	var process atomic.Pointer[deadman.Process]
	started := k.guard.State.Life.Process
	process.Store(&started) // A signal that came during the start is for this one.
	go func() {
		guarded <- w.loop(ctx, nil, k, ears, func() {
			p := k.guard.State.Life.Process
			process.Store(&p)
			if k.guard.State.Phase == deadman.Stopped && k.world.planned(k.world.last.process.Exit) {
				select {
				case end <- exitCode(k.world.last.process.Exit):
				default:
				}
			}
		})
	}()
	go d.deliverAlways(ctx, w.kick, func(err error) { warn(err.Error()) })
	for {
		select {
		case code := <-end:
			stop()
			<-guarded
			return code, d.deliver(context.WithoutCancel(ctx))
		case err := <-guarded:
			return 0, err
		case sig := <-signals.Pass:
			// One that comes while there is no agent is lost, as it would be without us.
			if p := process.Load(); !p.IsZero() {
				number, _ := sig.(syscall.Signal)
				_ = proc.Signal(*p, number)
			}
		case sig := <-signals.End:
			stop()
			if err := <-guarded; err != nil && !errors.Is(err, context.Canceled) {
				warn(err.Error())
			}
			return k.endWith(sig)
		}
	}
}

// endWith forwards the signal that ends us, and ends with the agent.
func (k *keeper) endWith(sig os.Signal) (int, error) {
	ctx := context.Background()
	p := k.guard.State.Life.Process
	number, _ := sig.(syscall.Signal)
	if p.IsZero() || proc.Alive(p) != deadman.Running {
		return 128 + int(number), nil
	}
	limit, cancel := context.WithTimeout(ctx, k.world.agent.KillDelay)
	defer cancel()
	ended := proc.Watch(limit, p)
	if err := proc.Signal(p, number); err != nil && !errors.Is(err, proc.ErrGone) {
		return 0, err
	}
	exit, ok := <-ended
	// Recorded as a person's stop: whoever comes next leaves it so.
	if err := k.guard.Hear(ctx, lifecycle.Word{Verb: lifecycle.StopNow}); err != nil {
		return 0, err
	}
	in, err := k.world.sup.Inspect(ctx)
	switch {
	case err == nil && in.Exit != "":
		return exitCode(in.Exit), nil
	case ok && exit.Known:
		return exitCode(exit.String()), nil
	}
	return 128 + int(number), nil
}

// exitCode is the status that stands for an end: its own, or 128 and the signal.
func exitCode(end string) int {
	var code int
	if _, err := fmt.Sscanf(end, "exit %d", &code); err == nil {
		return code
	}
	for n := syscall.Signal(1); n < 65; n++ {
		if strings.HasSuffix(end, (proc.Exit{Known: true, Signal: n}).String()) {
			return 128 + int(n)
		}
	}
	return 1
}

// followPoll is how often the agent's output is looked at.
const followPoll = 100 * time.Millisecond

// tail copies what is written to a log file from its making on.
type tail struct {
	path string
	out  io.Writer
	mu   sync.Mutex // over at, and the order of what is copied
	at   int64
}

func newTail(path string, out io.Writer) *tail {
	t := &tail{path: path, out: out}
	if info, err := os.Stat(path); err == nil {
		t.at = info.Size()
	}
	return t
}

// follow copies until ctx ends.
func (t *tail) follow(ctx context.Context) {
	ticker := time.NewTicker(followPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			t.copy()
		}
	}
}

// copy copies what is new.
func (t *tail) copy() {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, err := os.Open(t.path)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() < t.at {
		t.at = 0 // It was rotated.
	}
	n, _ := io.Copy(t.out, io.NewSectionReader(f, t.at, 1<<62))
	t.at += n
}
