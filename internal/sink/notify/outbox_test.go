package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/sink/notify"
)

// hook is a webhook's server that can be taken down and put up again where it
// was.
type hook struct {
	t      *testing.T
	addr   string
	server *http.Server

	mu     sync.Mutex
	status int
	got    []string // event and key, in order
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{t: t, status: 200}
	h.up()
	t.Cleanup(h.down)
	return h
}

func (h *hook) up() {
	h.t.Helper()
	addr := h.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.addr = l.Addr().String()
	h.server = &http.Server{Handler: h}
	go h.server.Serve(l)
}

func (h *hook) down() { h.server.Close() }

func (h *hook) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m notify.Message
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &m)
	h.mu.Lock()
	defer h.mu.Unlock()
	w.WriteHeader(h.status)
	if h.status == 200 {
		h.got = append(h.got, fmt.Sprintf("%s %d", m.Event, m.Record))
	}
}

func (h *hook) heard() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.got...)
}

func (h *hook) target() notify.Target { return one(h.t, "http://"+h.addr+"/"+secret) }

// desk is an outbox with a clock of its own, opened anew for every step as each
// run of the program does.
type desk struct {
	t       *testing.T
	dir     string
	now     time.Time
	record  int64
	targets []notify.Target
}

func newDesk(t *testing.T, targets ...notify.Target) *desk {
	return &desk{t: t, dir: t.TempDir(), now: message.Time, targets: targets}
}

func (d *desk) open() *notify.Outbox {
	d.t.Helper()
	o, err := notify.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	return o
}

// put says that an incident ended in a rollback, and that it is well again.
func (d *desk) put() []notify.Fact {
	d.t.Helper()
	var facts []notify.Fact
	for _, f := range []notify.Fact{{Event: notify.Rollback, Reason: fmt.Sprint(d.record)}, {Well: true}} {
		d.record++
		f.Record, f.Hash, f.Agent, f.Time, f.Incident = d.record, fmt.Sprint("h", d.record), "a", d.now, fmt.Sprint(d.record/2)
		facts = append(facts, f)
	}
	d.take(facts)
	return facts
}

func (d *desk) take(facts []notify.Fact) {
	d.t.Helper()
	if err := d.open().Put(facts, d.now, d.targets, func(m *notify.Message) { m.Host = "gate-1" }); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) deliver() string {
	d.t.Helper()
	err := d.open().Deliver(d.t.Context(), d.targets, 500*time.Millisecond, func() time.Time { return d.now })
	if err == nil {
		return ""
	}
	return err.Error()
}

func (d *desk) due() time.Duration {
	due := d.open().Due(d.now, d.targets)
	if due.IsZero() {
		return -1
	}
	return due.Sub(d.now)
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// A server that is down and comes back gets everything, in order, once. What is
// tried again comes ever more slowly.
func TestDownAndBack(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	d := newDesk(t, h.target())
	same(t, "nothing waits", d.due(), time.Duration(-1))
	h.down()
	d.put()
	same(t, "due at once", d.due(), time.Duration(0))
	for _, gap := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 600, 600} {
		// A server that has just gone may still take the call, and reset it.
		if got := d.deliver(); got != "cannot notify by webhook: connection refused" && got != "cannot notify by webhook: connection reset by peer" {
			t.Errorf("error: %s", got)
		}
		same(t, "gap", d.due(), gap*time.Second)
		same(t, "too early", d.deliver(), "")
		d.now = d.now.Add(gap * time.Second)
	}
	d.put()
	h.up()
	same(t, "back", d.deliver(), "")
	same(t, "heard", h.heard(), []string{"rollback 1", "recovered 2", "rollback 3", "recovered 4"})
	same(t, "again", d.deliver(), "")
	same(t, "heard once", len(h.heard()), 4)
	d.now = d.now.Add(time.Hour)
	same(t, "nothing waits", d.due(), time.Duration(-1))
}

// One that does not answer, one that answers 500 and one that is well: the last
// has its messages at once, and the first is waited for no longer than allowed.
func TestOthersAreNotHeldUp(t *testing.T) {
	t.Parallel()
	well, sick := newHook(t), newHook(t)
	sick.answer(500)
	slow := one(t, "http://"+listener(t, func(net.Conn) {})+"/"+secret)
	d := newDesk(t, slow, sick.target(), well.target())
	d.put()
	began := time.Now()
	got := d.deliver()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	for _, want := range []string{"cannot notify by webhook: no answer in time", "cannot notify by webhook: it answered 500"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	same(t, "well", well.heard(), []string{"rollback 1", "recovered 2"})
	sick.answer(200)
	d.now = d.now.Add(time.Minute)
	d.deliver()
	same(t, "no longer sick", sick.heard(), []string{"rollback 1", "recovered 2"})
	same(t, "well, once", len(well.heard()), 2)
}

// Killed after the delivery and before the note of it: it comes a second time,
// with the same key. Killed before the cursor has moved: the facts come a second
// time, and make nothing new.
func TestKilledInBetween(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	d := newDesk(t, h.target())
	facts := d.put()
	d.take(facts)
	before, err := os.ReadFile(filepath.Join(d.dir, "notify.json"))
	if err != nil {
		t.Fatal(err)
	}
	d.deliver()
	if err := os.WriteFile(filepath.Join(d.dir, "notify.json"), before, 0o600); err != nil {
		t.Fatal(err)
	}
	d.take(facts)
	d.deliver()
	same(t, "heard", h.heard(), []string{"rollback 1", "recovered 2", "rollback 1", "recovered 2"})
	d.take(facts)
	d.now = d.now.Add(time.Hour)
	same(t, "nothing waits", d.due(), time.Duration(-1))
}

// One message that a target will not have does not keep the next from it.
func TestRefusedIsGivenUp(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	d := newDesk(t, h.target())
	d.put()
	h.answer(400)
	for range 5 {
		same(t, "error", d.deliver(), "cannot notify by webhook: it answered 400")
		d.now = d.now.Add(time.Hour)
	}
	h.answer(200)
	same(t, "the next", d.deliver(), "")
	same(t, "heard", h.heard(), []string{"recovered 2"})
	// A password that is wrong is no fault of the message: it waits.
	d.put()
	h.answer(401)
	for range 10 {
		d.deliver()
		d.now = d.now.Add(time.Hour)
	}
	h.answer(200)
	d.deliver()
	same(t, "heard", h.heard(), []string{"recovered 2", "rollback 3", "recovered 4"})
}

// Targets come and go: a new one hears what is new, and nothing waits for one
// that is no more.
func TestTargetsChange(t *testing.T) {
	t.Parallel()
	old, other := newHook(t), newHook(t)
	d := newDesk(t, old.target())
	old.down()
	d.put()
	d.deliver()
	d.targets = []notify.Target{other.target()}
	same(t, "for the new one", d.due(), time.Duration(-1))
	d.deliver()
	d.put()
	d.deliver()
	same(t, "heard", other.heard(), []string{"rollback 3", "recovered 4"})
}

// The outbox holds no URL, and is nobody else's to read. One that is damaged is
// begun anew.
func TestOutboxFile(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	h.down()
	d := newDesk(t, h.target())
	d.put()
	d.deliver()
	path := filepath.Join(d.dir, "notify.json")
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), secret) || strings.Contains(string(text), h.addr) {
		t.Errorf("%v: %s", err, text)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(path, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	d.put()
	h.up()
	same(t, "error", d.deliver(), "")
	same(t, "heard", h.heard(), []string{"rollback 3", "recovered 4"})
}

// An end that comes while it sends is no failure of the target's that would put
// the next attempt off for long, and loses nothing.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	d := newDesk(t, one(t, "http://"+listener(t, func(net.Conn) {})+"/"+secret))
	d.put()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	err := d.open().Deliver(ctx, d.targets, time.Minute, func() time.Time { return d.now })
	if err == nil || err.Error() != "cannot notify by webhook: it was interrupted" {
		t.Error(err)
	}
	same(t, "due", d.due(), time.Duration(0))
}
