package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"deadman"
	"deadman/internal/proc"
	"deadman/internal/supervisor"
)

// owner is a program that owns agents: a supervisor proper. Each file of a form
// adds its owners to the list, the real program and the stand-in.
type owner struct {
	// form is the word of the config; kind "real" or "stand-in".
	form, kind string
	// program is what has to be there for it, "" for a stand-in.
	program string
	// install makes an agent with this argument list known to the supervisor,
	// down, and gives back the ways to it. It skips where the machine has no such
	// supervisor. What it installed is gone after the test.
	install func(t *testing.T, dir string, argv []string) ways

	// restarts: it brings back what died. counts: it, or we, count that.
	restarts, counts bool
	// gives up after some failed starts, and says so.
	givesUp bool
	// transient: without any agent it is not there at all, and its absence means
	// that there is none.
	transient bool
}

// ways are those to an agent that an owner has.
type ways struct {
	owner supervisor.Owner
	// person stops the agent past deadman: sv down, docker stop. nil where that
	// does not differ from a death.
	person func(t *testing.T)
	// vanish ends the owner itself, as kill -9 does.
	vanish func(t *testing.T)
}

var owners []owner

// require skips where the owner is not on this machine, and where nobody asked
// for it: they take their time, stand-ins too. DEADMAN_REQUIRE names the forms whose
// absence is a failure (`make test-owners`).
func (o owner) require(t *testing.T) {
	t.Helper()
	required := strings.Fields(os.Getenv("DEADMAN_REQUIRE"))
	var err error
	if o.program != "" {
		_, err = exec.LookPath(o.program)
	}
	switch {
	case err != nil && slices.Contains(required, o.form):
		t.Fatalf("%s is required: %v", o.form, err)
	case err != nil:
		t.Skipf("%s is not installed", o.program)
	case len(required) == 0:
		t.Skipf("%s: `make test-owners` runs it", o.form)
	}
}

// installed is an agent with an owner.
type installed struct {
	owner
	ways
	dir  string
	port int
}

// open is a deadman that has just started, with what an earlier one recorded.
func (i installed) open(known supervisor.Known) *supervisor.Owned {
	return &supervisor.Owned{
		Owner: i.ways.owner, StateDir: filepath.Join(i.dir, "state"), CheckPort: i.port,
		StartTimeout: 20 * time.Second, StopTimeout: 20 * time.Second, KillDelay: 500 * time.Millisecond,
		Known: known,
	}
}

func (o owner) put(t *testing.T, habits ...string) installed {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	argv := append([]string{self(t), "agent", "-port", fmt.Sprint(port), "-pid-file", dir + "/up", "-broken", dir + "/broken"}, habits...)
	return installed{o, o.install(t, dir, argv), dir, port}
}

// up starts the agent and waits until it serves.
func (i installed) up(t *testing.T, f form, attempt string) deadman.Process {
	t.Helper()
	p := start(t, f, token(t, attempt))
	i.serves(t)
	return p
}

func (i installed) serves(t *testing.T) {
	t.Helper()
	eventually(t, "the agent listens", func() bool { return listens(i.port) })
}

// verdicts on the owners, for the last lines of the suite (TestMain).
var verdicts []string

// TestOwners is the suite that every supervisor proper passes. Its last lines say
// which were real.
func TestOwners(t *testing.T) {
	verdicts = make([]string, len(owners))
	t.Run("all", func(t *testing.T) {
		for n, o := range owners {
			t.Run(o.form+" "+o.kind, func(t *testing.T) {
				t.Parallel()
				var passed atomic.Int64
				t.Cleanup(func() {
					switch {
					case t.Failed():
						verdicts[n] = "failed"
					case passed.Load() == 0:
						verdicts[n] = "skipped"
					default:
						verdicts[n] = fmt.Sprintf("passed (%d of %d scenarios)", passed.Load(), len(ownerScenarios))
					}
				})
				o.require(t)
				for name, scenario := range ownerScenarios {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						scenario(t, o)
						passed.Add(1) // Not reached when it skips.
					})
				}
			})
		}
	})
}

var ownerScenarios = map[string]func(*testing.T, owner){
	"a life":               ownedLife,
	"ignores SIGTERM":      ownedStubborn,
	"killed":               ownedKilled,
	"ends by itself":       ownedEnds,
	"stopped by a person":  ownedByPerson,
	"stopped by us":        ownedByUs,
	"crash of ours":        ownedCrash,
	"cannot start":         ownedCannotStart,
	"orphan on the port":   ownedOrphan,
	"stranger on the port": ownedStranger,
	"without its owner":    ownedAlone,
}

func ownedLife(t *testing.T, o owner) {
	i := o.put(t)
	f := i.open(supervisor.Known{})
	if got := inspect(t, f); got.Presence != deadman.Gone || got.Activating || got.Latched != "" {
		t.Fatalf("before the first start: %+v", got)
	}
	p := i.up(t, f, "one")
	other := i.open(supervisor.Known{})
	for _, f := range []form{f, other} {
		got := inspect(t, f)
		if got.Presence != deadman.Running || got.Process != p || got.Started > p.Start+proc.Tick || got.Program == "" || got.Stopped || got.Activating {
			t.Errorf("running: %+v, want %+v", got, p)
		}
		if got.Restarts > 0 {
			t.Errorf("%d restarts", got.Restarts)
		}
		if again, ok, err := f.Started(t.Context(), token(t, "one")); again != p || !ok || err != nil {
			t.Errorf("started: %v %v %v, want %v", again, ok, err, p)
		}
		if _, ok, err := f.Started(t.Context(), token(t, "two")); ok || err != nil {
			t.Errorf("started a start that never was: %v %v", ok, err)
		}
		_, err := f.Start(t.Context(), token(t, "two"))
		var refused *supervisor.Refused
		if !errors.As(err, &refused) || refused.PID != p.PID {
			t.Errorf("a second start: %v, want refused for %d", err, p.PID)
		}
		if family, err := f.Family(t.Context()); err != nil || !slices.Contains(family, p) {
			t.Errorf("family: %v %v", family, err)
		}
	}
	if r := stop(t, other); len(r.Killed)+len(r.Survivors) > 0 || !r.PortFree {
		t.Errorf("stop: %+v", r)
	}
	for _, f := range []form{f, other} {
		if got := inspect(t, f); got.Presence != deadman.Gone || got.Stopped || got.Activating {
			t.Errorf("stopped: %+v", got)
		}
	}
	stop(t, f) // what is not there
	next := start(t, f, token(t, "two"))
	if next == p {
		t.Error("the second life is the first")
	}
	if got := inspect(t, f); got.Restarts > 0 {
		t.Errorf("a start of ours counts as %d restarts", got.Restarts)
	}
}

func ownedStubborn(t *testing.T, o owner) {
	i := o.put(t, "-stubborn")
	f := i.open(supervisor.Known{})
	p := i.up(t, f, "one")
	before := proc.Uptime()
	r := stop(t, f)
	if len(r.Survivors) > 0 || !r.PortFree || proc.Alive(p) != deadman.Gone {
		t.Errorf("stop: %+v, and it is %v", r, proc.Alive(p))
	}
	if took := proc.Uptime() - before; took < f.KillDelay {
		t.Errorf("it was given %v", took)
	}
	if !slices.Contains(r.Killed, p) {
		t.Errorf("killed: %v, want %v", r.Killed, p)
	}
}

// Its main process is killed. An owner that restarts brings it back, or is seen
// to be doing so; nobody says that a person has stopped it.
func ownedKilled(t *testing.T, o owner) {
	i := o.put(t)
	f := i.open(supervisor.Known{})
	p := i.up(t, f, "one")
	f.Known = knownOf(t, f, token(t, "one"))
	kill(t, p)
	eventually(t, "its end is seen", func() bool {
		got := inspect(t, f)
		if got.Stopped {
			t.Fatalf("a death is called a stop: %+v", got)
		}
		return got.Process != p
	})
	if !o.restarts {
		eventually(t, "it is gone", func() bool { got := inspect(t, f); return got.Presence == deadman.Gone && !got.Activating })
		i.up(t, f, "two")
		return
	}
	var got supervisor.Inspection
	eventually(t, "it is back", func() bool { got = inspect(t, f); return got.Presence == deadman.Running && got.Process != p })
	if o.counts && got.Restarts != 1 {
		t.Errorf("%d restarts", got.Restarts)
	}
	if r := stop(t, f); len(r.Survivors) > 0 || !r.PortFree {
		t.Errorf("stop: %+v", r)
	}
	if got := inspect(t, f); got.Presence != deadman.Gone || got.Stopped {
		t.Errorf("stopped: %+v", got)
	}
}

// It ends by itself, with status 0. That is a death too, whatever its owner
// thinks of it, unless that one brings it back.
func ownedEnds(t *testing.T, o owner) {
	i := o.put(t)
	f := i.open(supervisor.Known{})
	p := i.up(t, f, "one")
	f.Known = knownOf(t, f, token(t, "one"))
	if err := proc.Signal(p, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its end is seen", func() bool {
		got := inspect(t, f)
		if got.Stopped {
			t.Fatalf("a death is called a stop: %+v", got)
		}
		return got.Process != p && (got.Presence == deadman.Running || !got.Activating)
	})
}

func ownedByPerson(t *testing.T, o owner) {
	i := o.put(t)
	if i.person == nil {
		t.Skip("a person's stop does not differ from a death")
	}
	f := i.open(supervisor.Known{})
	// A stop of ours lies before it.
	i.up(t, f, "one")
	stop(t, f)
	p := i.up(t, f, "two")
	known := knownOf(t, f, token(t, "two"))
	i.person(t)
	eventually(t, "it is gone", func() bool { return proc.Alive(p) == deadman.Gone })
	for _, f := range []form{f, i.open(known)} {
		eventually(t, "it is stopped", func() bool { got := inspect(t, f); return got.Presence == deadman.Gone && got.Stopped })
	}
	// One that has recorded nothing errs on the side of an agent that is dead.
	if got := inspect(t, i.open(supervisor.Known{})); got.Presence != deadman.Gone {
		t.Errorf("without a record: %+v", got)
	}
	i.up(t, f, "three")
	if got := inspect(t, f); got.Stopped {
		t.Errorf("started again: %+v", got)
	}
}

// A stop of ours is never taken for a person's, by whatever deadman: not before
// the start after it, and not when that start fails.
func ownedByUs(t *testing.T, o owner) {
	i := o.put(t)
	f := i.open(supervisor.Known{})
	i.up(t, f, "one")
	known := knownOf(t, f, token(t, "one"))
	stop(t, f)
	for name, f := range map[string]form{
		"the same": f, "one with its record": i.open(known), "one with none": i.open(supervisor.Known{}),
	} {
		if got := inspect(t, f); got.Presence != deadman.Gone || got.Stopped || got.Activating {
			t.Errorf("%s says %+v", name, got)
		}
	}
	// Somebody holds its port, so nothing is started.
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", i.port))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Start(t.Context(), token(t, "two")); err == nil {
		t.Error("it starts beside a stranger on its port")
	}
	listener.Close()
	if got := inspect(t, f); got.Presence != deadman.Gone || got.Stopped {
		t.Errorf("after a start that was refused: %+v", got)
	}
	i.up(t, f, "three")
}

// We crash right after the owner was told to start: the next deadman, with the
// record of before, finds the start and its process.
func ownedCrash(t *testing.T, o owner) {
	i := o.put(t)
	f := i.open(supervisor.Known{})
	i.up(t, f, "one")
	stop(t, f)
	known := f.Known
	p := i.up(t, f, "two")
	next := i.open(known)
	if _, ok, err := next.Started(t.Context(), token(t, "one")); ok || err != nil {
		t.Errorf("an older start is found: %v %v", ok, err)
	}
	if got, ok, err := next.Started(t.Context(), token(t, "two")); !ok || got != p || err != nil {
		t.Errorf("started: %v %v %v, want %v", got, ok, err, p)
	}
	if got := inspect(t, next); got.Restarts > 0 || got.Process != p {
		t.Errorf("found: %+v", got)
	}
	// It died, and only the owner knows: that is not the start.
	if !o.restarts {
		kill(t, p)
		eventually(t, "its end is seen", func() bool { return inspect(t, next).Presence == deadman.Gone })
		if got, ok, err := i.open(known).Started(t.Context(), token(t, "two")); ok || err != nil {
			t.Errorf("started: %v %v %v", got, ok, err)
		}
	}
}

// The agent ends at once, always. Nobody hangs, it is seen never to serve, and
// what its owner says when it has given up is Latched, which a start gets past.
func ownedCannotStart(t *testing.T, o owner) {
	i := o.put(t)
	broken := filepath.Join(i.dir, "broken")
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := i.open(supervisor.Known{})
	before := proc.Uptime()
	t.Cleanup(func() { f.Stop(context.Background()) })
	if _, err := f.Start(t.Context(), token(t, "one")); err != nil {
		var failed *supervisor.StartError
		if !errors.As(err, &failed) {
			t.Fatalf("start: %v", err)
		}
	}
	if took := proc.Uptime() - before; took > 2*f.StartTimeout {
		t.Errorf("that took %v", took)
	}
	if o.givesUp {
		eventually(t, "its owner gives up", func() bool {
			got := inspect(t, f)
			return got.Presence == deadman.Gone && !got.Activating && got.Latched != ""
		})
	}
	if got := inspect(t, f); got.Stopped {
		t.Errorf("a death is called a stop: %+v", got)
	}
	if r := stop(t, f); len(r.Survivors) > 0 || !r.PortFree {
		t.Errorf("stop: %+v", r)
	}
	if got := inspect(t, f); got.Presence != deadman.Gone || got.Stopped || got.Activating {
		t.Errorf("stopped: %+v", got)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	p := i.up(t, f, "two")
	if got := inspect(t, f); got.Latched != "" || got.Process != p {
		t.Errorf("started: %+v", got)
	}
}

func ownedOrphan(t *testing.T, o owner) {
	i := o.put(t, "-orphan", "-unmarked")
	f := i.open(supervisor.Known{})
	p := i.up(t, f, "one")
	var known supervisor.Known
	eventually(t, "it has a child", func() bool {
		known = knownOf(t, f, token(t, "one"))
		return len(known.Members) >= 2
	})
	kill(t, p)
	if !listens(i.port) {
		t.Skip("its owner ends orphans itself")
	}
	f = i.open(known)
	if r := stop(t, f); len(r.Survivors) > 0 || !r.PortFree {
		t.Errorf("stop: %+v", r)
	}
	i.up(t, f, "two")
	eventually(t, "it has a child again", func() bool { return len(knownOf(t, f, "").Members) >= 2 })
}

func ownedStranger(t *testing.T, o owner) {
	i := o.put(t)
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", i.port))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	f := i.open(supervisor.Known{})
	_, err = f.Start(t.Context(), token(t, "one"))
	var refused *supervisor.Refused
	if !errors.As(err, &refused) || refused.Program == "" {
		t.Errorf("start: %v", err)
	}
	r := stop(t, f)
	// A child that this process has forked for another test may hold it too, until
	// it becomes a program.
	me := func(s supervisor.Survivor) bool { return s.Process.PID == os.Getpid() }
	own := func(s supervisor.Survivor) bool { return s.Own }
	if r.PortFree || !slices.ContainsFunc(r.Survivors, me) || slices.ContainsFunc(r.Survivors, own) || len(r.Killed) > 0 {
		t.Errorf("stop: %+v", r)
	}
}

// The owner itself is killed. The agent may live on; in no case is it said to be
// gone while it can be seen, nor is anything started beside it.
func ownedAlone(t *testing.T, o owner) {
	i := o.put(t)
	if i.vanish == nil {
		t.Skip("its owner cannot be killed here")
	}
	f := i.open(supervisor.Known{})
	p := i.up(t, f, "one")
	f.Known = knownOf(t, f, token(t, "one"))
	i.vanish(t)
	eventually(t, "that is seen", func() bool { got := inspect(t, f); return got.Presence != deadman.Running })
	alive := proc.Alive(p) == deadman.Running
	got := inspect(t, f)
	if alive && (got.Presence != deadman.Obscured || got.Process != p) || !o.transient && got.Presence != deadman.Obscured || got.Stopped || got.Detail == "" {
		t.Errorf("without its owner: %+v", got)
	}
	if o.transient {
		return
	}
	if _, err := f.Start(t.Context(), token(t, "two")); err == nil {
		t.Error("it starts without its owner")
	}
	if _, err := f.Stop(t.Context()); err == nil {
		t.Error("it stops without its owner")
	}
	if alive {
		kill(t, p)
		if got := inspect(t, f); got.Presence != deadman.Obscured || !got.Process.IsZero() {
			t.Errorf("without its owner and itself: %+v", got)
		}
	}
}

// run runs a program that must succeed.
func run(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", argv[0], err, out)
	}
}

// quiet is our environment without the NOTIFY_SOCKET that is there to be kept
// from agents.
func quiet() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "NOTIFY_SOCKET=") })
}

// script writes a program. A child that another test forks meanwhile must not
// hold it open for writing, or it cannot be run.
func script(t *testing.T, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// daemon starts an owner, and ends it after the test, when what it owns has been
// stopped. It returns a kill -9.
func daemon(t *testing.T, argv ...string) (vanish func(*testing.T)) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = quiet()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	end := func(sig syscall.Signal) {
		once.Do(func() {
			cmd.Process.Signal(sig)
			cmd.Wait()
		})
	}
	t.Cleanup(func() {
		end(syscall.SIGTERM)
		if text, _ := os.ReadFile(log.Name()); t.Failed() && len(text) > 0 {
			t.Logf("%s said:\n%s", argv[0], text)
		}
	})
	return func(*testing.T) { end(syscall.SIGKILL) }
}

func kill(t *testing.T, p deadman.Process) {
	t.Helper()
	if err := proc.Signal(p, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is dead", func() bool { return proc.Alive(p) == deadman.Gone })
}
