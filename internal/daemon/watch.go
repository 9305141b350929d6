package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"deadman"
	"deadman/internal/config"
	"deadman/internal/guard"
	"deadman/internal/lifecycle"
	"deadman/internal/proc"
)

// Watch guards all agents until ctx ends. It leaves them running; the next
// watch adopts them. A value on reload makes it read its config anew with
// load; a config that is bad in part changes nothing. ready is called when
// every agent has its guard. warn hears what a person should know. It is an error
// if not one agent's directory can be had: then nothing could be guarded.
func (d *Daemon) Watch(ctx context.Context, reload <-chan struct{}, load func() (config.Config, error), ready func(), warn func(string)) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	w := &watch{d: d, ctx: ctx, warn: warn, kick: make(chan struct{}, 1), running: make(map[string]*watched)}
	stopSinks := w.startSinks()
	defer func() { stopSinks() }()
	defer w.stopAll()
	w.apply(ctx, d.cfg.Agents)
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reload:
			cfg, err := load()
			if err != nil {
				warn("the config was not reloaded: " + err.Error())
				continue
			}
			if cfg.StateDir != d.cfg.StateDir {
				warn("the config was not reloaded: state-dir changes only with a new start")
				continue
			}
			w.stopChanged(cfg.Agents)
			// Guards that go on read state-dir, which is the same, and nothing else of it.
			stopSinks()
			d.cfg.Agents, d.cfg.RequestLog = cfg.Agents, cfg.RequestLog
			stopSinks = w.startSinks()
			w.apply(ctx, cfg.Agents)
			warn("the config was reloaded")
		}
	}
}

// startSinks delivers until what it returns is called, which waits for the end.
func (w *watch) startSinks() (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	var sinks sync.WaitGroup
	sinks.Go(func() { w.d.deliverAlways(ctx, w.kick, func(err error) { w.warn(err.Error()) }) })
	return func() { cancel(); sinks.Wait() }
}

// begin takes the lock of some agent and lets it go again. One that another has in
// hand is had too: it is waited for.
func (d *Daemon) begin(ctx context.Context) error {
	var failure error
	for _, a := range d.cfg.Agents {
		l, err := acquire(ctx, d.agentDir(a.Name), a.Name, false, 0)
		var busy *BusyError
		switch {
		case err == nil:
			l.release()
			return nil
		case errors.As(err, &busy):
			return nil
		case failure == nil:
			failure = &saidError{err.Error(), "`deadman doctor` says what is wrong with state-dir " + d.cfg.StateDir}
		}
	}
	return failure
}

// watch is a Watch in progress.
type watch struct {
	d *Daemon
	// ctx is that of the whole watch: pings go on over the guards of single agents.
	ctx  context.Context
	warn func(string)
	kick chan struct{}
	// running are the agents that have a guard, by name. Only Watch's own
	// goroutine uses it.
	running map[string]*watched
	pings   pingers
}

// watched is one agent under watch.
type watched struct {
	agent config.Agent
	stop  context.CancelFunc
	done  chan struct{}
}

// apply gives every agent without a guard one.
func (w *watch) apply(ctx context.Context, agents []config.Agent) {
	var opened sync.WaitGroup
	for _, a := range agents {
		if w.running[a.Name] != nil {
			continue
		}
		ctx, stop := context.WithCancel(ctx)
		one := &watched{agent: a, stop: stop, done: make(chan struct{})}
		w.running[a.Name] = one
		opened.Add(1)
		var once sync.Once
		go func() {
			defer close(one.done)
			defer once.Do(opened.Done)
			w.guardAgent(ctx, a, func() { once.Do(opened.Done) })
		}()
	}
	opened.Wait()
}

// stopChanged ends the guards of agents that are no more, or are other ones.
// The agents themselves are left as they are.
func (w *watch) stopChanged(agents []config.Agent) {
	for name, one := range w.running {
		same := false
		for _, a := range agents {
			same = same || a.Name == name && reflect.DeepEqual(a, one.agent)
		}
		if !same {
			one.stop()
			<-one.done
			delete(w.running, name)
		}
	}
}

func (w *watch) stopAll() { w.stopChanged(nil) }

// busyRetry is how long a watch waits for another actor before it says so and
// tries again.
const busyRetry = 5 * time.Second

// guardAgent guards one agent until ctx ends. opened is called after its first
// round, or when that may take long.
func (w *watch) guardAgent(ctx context.Context, a config.Agent, opened func()) {
	defer w.d.pulse.forget(a.Name)
	defer w.pings.forget(a)
	said := "" // the last failure, unless a round was made since
	for ctx.Err() == nil {
		w.d.pulse.beat(a, busyRetry)
		err := w.guardOnce(ctx, a, func() {
			said = ""
			opened()
		})
		opened()
		if ctx.Err() != nil {
			return
		}
		if line := fmt.Sprintf("%s: %v", a.Name, err); line != said {
			said = line
			w.warn(line)
		}
		if errors.Is(err, errLost) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(busyRetry):
		}
	}
}

func (w *watch) guardOnce(ctx context.Context, a config.Agent, opened func()) error {
	l, err := acquire(ctx, w.d.agentDir(a.Name), a.Name, true, busyRetry)
	if err != nil {
		return err
	}
	defer l.release()
	k, err := w.d.newKeeper(ctx, a.Name)
	if err != nil {
		return err
	}
	defer k.close()
	k.world.beat = func() { w.d.pulse.beat(a, 0) }
	ears, err := listen(w.d.agentDir(a.Name), w.warn)
	if err != nil {
		return err
	}
	defer ears.close()
	ears.wake <- struct{}{} // What was posted before we listened.
	if err = w.loop(ctx, l, k, ears, opened); errors.Is(err, errLost) {
		// What the agent is recognised by must not be lost, or another one would
		// be started beside it.
		_ = os.MkdirAll(k.world.dir, 0o700)
		k.world.saveMemo()
	}
	return err
}

// loop runs the guard of one agent with everything that can wake it. It ends
// with errLost when l is lost; who has nothing to begin anew with gives none.
func (w *watch) loop(ctx context.Context, l *lock, k *keeper, ears *ears, opened func()) error {
	ctx, stop := context.WithCancelCause(ctx)
	news, tell := w.d.messenger(k.world.agent), make(chan struct{}, 1)
	k.journal.news = news
	var telling sync.WaitGroup
	if news != nil {
		telling.Go(func() { news.always(ctx, tell, w.warn) })
	}
	defer telling.Wait()
	defer stop(nil)
	// Taken up at once, also in the middle of a recovery: see takeTime.
	words := make(chan guard.Request, 64)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-ears.inbox:
			}
			log, err := w.d.journal.Log()
			if err != nil {
				continue
			}
			requests, err := k.requests(ctx, log)
			if err != nil {
				continue
			}
			for _, request := range requests {
				select {
				case words <- request:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	var following deadman.Process
	var reserved string // what was last said of the reserve
	err := k.guard.Watch(ctx, ears.wake, words, func(err error) {
		w.d.pulse.beat(k.world.agent, lifecycle.NextLook(k.guard.Policy, k.guard.State, k.guard.Now()))
		if l != nil && l.lost() {
			stop(errLost)
			return
		}
		k.world.tick()
		for _, line := range k.world.say() {
			w.warn(k.world.agent.Name + ": " + line)
		}
		if err != nil {
			// A state that could not be saved, or that somebody else has saved:
			// begin again from what is stored.
			stop(err)
			return
		}
		if k.journal.written > 0 {
			k.journal.written = 0
			if err := k.reserve(); err != nil && err.Error() != reserved {
				reserved = err.Error()
				w.warn(reserved)
			}
			for _, kick := range []chan struct{}{w.kick, tell} {
				select {
				case kick <- struct{}{}:
				default:
				}
			}
		}
		if lifecycle.Resting(k.guard.State) {
			w.pings.say(w.ctx, k.world.agent, exit(k.guard.State), w.warn)
		}
		for _, e := range k.journal.fresh {
			if line := freshLine(e); line != "" {
				w.warn(k.world.agent.Name + ": " + line)
			}
			if e.Kind == kindRollback && ending(e) {
				if command := undoInHand(k.world.agent.Name, k.guard.State); command != "" {
					w.warn(k.world.agent.Name + ": to undo it: " + command)
				}
			}
		}
		k.journal.fresh = nil
		ears.follow(k.world.dirs())
		if p := k.guard.State.Life.Process; p != following && !p.IsZero() {
			following = p
			go func() {
				if _, ok := <-proc.Watch(ctx, p); ok {
					ears.ring()
				}
			}()
		}
		opened()
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// dirs are the directories whose change may be a change of the config.
func (w *world) dirs() []string {
	var dirs []string
	for _, set := range w.sets {
		dirs = append(dirs, set.Root)
	}
	return append(dirs, w.last.dirs...)
}

// ears turn what the kernel tells of files into hints for a guard.
type ears struct {
	watcher *fsnotify.Watcher
	dir     string
	wake    chan struct{} // something may have changed
	inbox   chan struct{} // somebody has posted
	added   map[string]bool
}

// listen begins to listen to the bell of the agent in dir.
func listen(dir string, warn func(string)) (*ears, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("cannot watch for changes: %v", err)
	}
	if err := watcher.Add(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot watch %s: %v", dir, err), watcher.Close())
	}
	e := &ears{watcher: watcher, dir: dir, wake: make(chan struct{}, 1), inbox: make(chan struct{}, 1), added: map[string]bool{}}
	e.inbox <- struct{}{}
	go e.run(warn)
	return e, nil
}

// settle is how long after a change of the config the guard is woken, so that
// a burst of them is one look.
const settle = 200 * time.Millisecond

func (e *ears) run(warn func(string)) {
	for {
		select {
		case ev, ok := <-e.watcher.Events:
			switch {
			case !ok:
				return
			case filepath.Dir(ev.Name) != e.dir:
				time.AfterFunc(settle, e.ring)
			case filepath.Base(ev.Name) == bell:
				select {
				case e.inbox <- struct{}{}:
				default:
				}
			}
		case err, ok := <-e.watcher.Errors:
			if !ok {
				return
			}
			// Overflow: something may have changed.
			warn("changes were missed: " + err.Error())
			e.ring()
		}
	}
}

func (e *ears) ring() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// follow listens to these directories too. One that cannot be watched is
// polled like everything else.
func (e *ears) follow(dirs []string) {
	for _, dir := range dirs {
		if !e.added[dir] && e.watcher.Add(dir) == nil {
			e.added[dir] = true
		}
	}
}

func (e *ears) close() { _ = e.watcher.Close() }
