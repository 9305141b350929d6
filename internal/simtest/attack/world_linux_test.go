package attack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"deadman"
	"deadman/internal/confine"
	"deadman/internal/document"
	"deadman/internal/restore"
	"deadman/internal/snapshot"
)

// limits are small, so that the attacker can pass them quickly.
var limits = snapshot.Limits{File: 64 << 10, Set: 256 << 10, Files: 60}

// retention with the ten suspects and ten bad ones that it may keep beside bounds the disk: see maxDisk.
var retention = snapshot.Retention{Newest: 5, Proven: 2}

// good is the config as it should be, below home.
var good = map[string]string{
	"config.yaml":   "model: good\nseen: 1\n",
	".env":          "TOKEN=good\n",
	"conf.d/a.yaml": "a: 1\n",
	"conf.d/b.yaml": "b: 2\n",
	"deep/x/c.json": "{\"c\": 3}\n",
	linkedTo:        "linked: 1\n",
}

// linkedTo is where linked.yaml leads, beside home.
const linkedTo = "../checkout/linked.yaml"

// devices are in the attacker's stash: it could not make any.
var devices = []string{"zero", "null", "block"}

// makeGood puts the good config into a world, whatever is there. It is what the
// attacker does as well, so it writes to new files only, and renames them.
func makeGood(world string, fresh func() string) error {
	put := func(name string, made string) error {
		err := os.Rename(made, name)
		if err != nil {
			_ = os.Rename(name, fresh())
			err = os.Rename(made, name)
		}
		return err
	}
	var errs []error
	for _, dir := range []string{"home/conf.d", "home/deep", "home/deep/x"} {
		dir = world + "/" + dir
		if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
			errs = append(errs, os.Rename(dir, fresh()))
		}
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			errs = append(errs, err)
		}
	}
	for name, text := range good {
		made := fresh()
		f, err := os.OpenFile(made, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		errs = append(errs, err, f.Close(), put(filepath.Join(world, "home", name), made))
	}
	for name, target := range map[string]string{"plain.yaml": "hidden/config.yaml", "linked.yaml": world + "/checkout/linked.yaml"} {
		made := fresh()
		errs = append(errs, os.Symlink(target, made), put(world+"/home/"+name, made))
	}
	return errors.Join(errs...)
}

// field is all the worlds, and what lies around them.
type field struct {
	base   string
	worlds []*world
	around *canaries
	hidden []*os.File // of each home/hidden, wherever that is moved to
}

// world is one agent's config directory, and deadman's view of it.
type world struct {
	dir    string
	state  string
	sets   []snapshot.Set
	store  *snapshot.Store
	target string // the known good
	around *canaries
	// confined: only the config and the state can be reached.
	confined bool
	// What came of the rounds.
	captures, refusals, rollbacks, hindered int
	reasons                                 map[string]int
}

// newField lays everything out below base, which is root's.
func newField(base string, worlds int) (*field, error) {
	f := &field{base: base}
	if err := os.MkdirAll(base+"/state", 0o700); err != nil {
		return nil, err
	}
	if err := makeOutside(base + "/outside"); err != nil {
		return nil, err
	}
	for i := range worlds {
		dir := filepath.Join(base, "w"+strconv.Itoa(i))
		w := &world{dir: dir, state: base + "/state/w" + strconv.Itoa(i), reasons: map[string]int{}, confined: i%2 == 0}
		f.worlds = append(f.worlds, w)
		for _, name := range []string{"", "/home", "/stash", "/checkout"} {
			if err := os.Mkdir(dir+name, 0o755); err != nil {
				return nil, err
			}
		}
		n := 0
		if err := makeGood(dir, func() string { n++; return fmt.Sprintf("%s/stash/good-%d", dir, n) }); err != nil {
			return nil, err
		}
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, attackerID, attackerID))
		})
		if err != nil {
			return nil, err
		}
		w.replenish()
		for _, name := range []string{"/private", "/home/hidden"} {
			if err := makeTree(dir+name, marker, 0o644); err != nil {
				return nil, err
			}
		}
		hidden, err := os.Open(dir + "/home/hidden")
		if err != nil {
			return nil, err
		}
		f.hidden = append(f.hidden, hidden)
		if w.around, err = note(dir+"/private", fmt.Sprintf("/proc/self/fd/%d/.", hidden.Fd())); err != nil {
			return nil, err
		}
		w.sets = []snapshot.Set{{
			Root:     dir + "/home",
			Files:    []string{"config.yaml", ".env", "plain.yaml", "linked.yaml", "conf.d/*.yaml", "deep/**/*.json"},
			Exclude:  []string{"hidden"},
			Follow:   []string{dir + "/checkout"},
			Preserve: []document.Key{{File: "config.yaml", Path: "seen"}},
		}}
		if w.store, err = snapshot.Open(w.state, "w"); err != nil {
			return nil, err
		}
		look, err := snapshot.Observe(context.Background(), w.sets, limits)
		if err != nil {
			return nil, err
		}
		m, err := w.store.Save(look, w.sets, snapshot.Meta{Now: time.Now(), Evidence: "healthy"})
		if err != nil {
			return nil, err
		}
		if err := errors.Join(w.store.Prove(m.ID, snapshot.Proof{Time: time.Now()}), w.store.SetKnownGood(m.ID, false)); err != nil {
			return nil, err
		}
		w.target = m.ID
	}
	var err error
	f.around, err = note(base + "/outside")
	return f, err
}

func (f *field) close() {
	for _, w := range f.worlds {
		w.store.Close()
	}
	for _, h := range f.hidden {
		h.Close()
	}
}

// makeOutside makes what is root's and nobody's config.
func makeOutside(dir string) error {
	if err := makeTree(dir+"/tree", marker, 0o644); err != nil {
		return err
	}
	// The very bytes of the good config, in files that are not the agent's.
	if err := makeTree(dir+"/twin", "", 0o640); err != nil {
		return err
	}
	if err := makeTree(dir+"/twin/shared", "", 0o666); err != nil {
		return err
	}
	var errs []error
	for name, mode := range map[string]os.FileMode{"shadow": 0o600, "public": 0o644, "shared": 0o666} {
		errs = append(errs, os.WriteFile(dir+"/"+name, []byte("root:"+marker+"\n"), 0o600), os.Chmod(dir+"/"+name, mode))
	}
	return errors.Join(errs...)
}

// makeTree makes a directory with the names of the config, at every depth.
func makeTree(dir, text string, mode os.FileMode) error {
	for _, sub := range []string{"", "/conf.d", "/x"} {
		if err := os.MkdirAll(dir+sub, 0o755); err != nil {
			return err
		}
		for name, content := range good {
			if text != "" {
				content = "a: " + text + "\n"
			}
			path := dir + sub + "/" + filepath.Base(name)
			if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode)); err != nil {
				return err
			}
		}
	}
	return nil
}

// replenish gives the attacker the devices that have been moved out of its way.
func (w *world) replenish() {
	for i, name := range devices {
		mode, device := uint32(unix.S_IFCHR), unix.Mkdev(1, []uint32{5, 3, 0}[i])
		if name == "block" {
			mode, device = unix.S_IFBLK, unix.Mkdev(7, 250)
		}
		if unix.Mknod(w.dir+"/stash/"+name, mode|0o666, int(device)) == nil {
			_ = os.Lchown(w.dir+"/stash/"+name, attackerID, attackerID)
		}
	}
}

// do does what touches the agent's files. In every other world it is confined, as
// it is in the daemon; in the others only the code's own care holds, and what that
// lets pass is found.
func (w *world) do(work func()) {
	if !w.confined {
		work()
		return
	}
	rules := confine.Rules{Write: []string{w.state}}
	for _, dir := range []string{w.sets[0].Root, w.sets[0].Follow[0]} {
		if at, err := snapshot.Locate(dir); err == nil {
			rules.Write = append(rules.Write, at.Real)
		}
	}
	confine.Do(rules, work)
}

// observed is a look as the daemon takes it for a deed (daemon's place): of the
// directories that the config has always been in.
func (w *world) observed(observe func() (*snapshot.Look, error)) (look *snapshot.Look, err error) {
	w.do(func() { look, err = observe() })
	if err != nil {
		return nil, err
	}
	was, err := w.store.Anchor()
	if err == nil {
		err = snapshot.Astray(slices.Concat(look.Roots, look.Follows), was)
	}
	return look, err
}

// save stores a look, and judges it.
func (w *world) save(look *snapshot.Look, evidence string, standing deadman.Standing) (snapshot.Manifest, error) {
	size := int64(0)
	for _, m := range look.Members {
		data := look.Bytes(m.Name())
		size += int64(len(data))
		switch {
		case foreign(data):
			return snapshot.Manifest{}, violation("%s of %s would be stored, and it is a canary", m.Name(), w.dir)
		case len(data) >= 4096 && len(bytes.Trim(data, "\x00")) == 0:
			return snapshot.Manifest{}, violation("%s of %s would be stored, and a device gave it", m.Name(), w.dir) // The attacker writes no zeros.
		case m.Type == snapshot.File && m.UID == 0 && m.Mode&0o777 != 0o600:
			// deadman itself may die over a draft, which is 0600 still.
			return snapshot.Manifest{}, violation("%s of %s would be stored, and it is root's", m.Name(), w.dir)
		case int64(len(data)) > limits.File:
			return snapshot.Manifest{}, violation("%s of %s has %d bytes", m.Name(), w.dir, len(data))
		}
	}
	if size > limits.Set || len(look.Members) > limits.Files {
		return snapshot.Manifest{}, violation("%s: %d members with %d bytes", w.dir, len(look.Members), size)
	}
	m, err := w.store.Save(look, w.sets, snapshot.Meta{Now: time.Now(), Evidence: evidence, Standing: standing})
	if err != nil {
		return m, err
	}
	plan, err := w.store.Retain(retention, []string{m.ID, w.target})
	if err != nil {
		return m, err
	}
	return m, w.store.Remove(plan)
}

// capture is what a healthy check does.
func (w *world) capture(ctx context.Context) error {
	look, err := w.observed(func() (*snapshot.Look, error) { return snapshot.Observe(ctx, w.sets, limits) })
	if err != nil {
		w.refusals++
		w.why(err)
		return nil
	}
	_, err = w.save(look, "healthy", deadman.Candidate)
	w.captures++
	return err
}

// rollback is what a death leads to: Keep, a plan, and its execution.
func (w *world) rollback(ctx context.Context) error {
	err := w.putBack(ctx)
	var v *violationError
	switch {
	case err == nil:
		w.rollbacks++
	case errors.As(err, &v):
		return err
	default:
		w.hindered++
		w.why(err)
	}
	return nil
}

func (w *world) putBack(ctx context.Context) error {
	look, err := w.observed(func() (*snapshot.Look, error) { return snapshot.ObserveGone(ctx, w.lookedSets(), limits) })
	if err != nil {
		return err
	}
	keep, err := w.save(look, "keep", deadman.Suspect)
	if err != nil {
		return err
	}
	target, err := w.store.Load(w.target)
	if err != nil {
		return violation("the known good of %s: %v", w.dir, err)
	}
	var plan *restore.Plan
	w.do(func() {
		plan, err = restore.Prepare(time.Now(), w.store, target, keep, w.lookedSets(), []snapshot.Manifest{keep})
	})
	if err != nil {
		return err
	}
	if err := plan.Save(w.state); err != nil {
		return err
	}
	w.do(func() { _, err = restore.Execute(ctx, plan, w.store) })
	if err != nil {
		return err
	}
	return restore.Remove(w.state)
}

// lookedSets are the sets as the daemon has them looked at.
func (w *world) lookedSets() []snapshot.Set {
	sets := slices.Clone(w.sets)
	if m, err := w.store.Load(w.target); err == nil {
		sets[0].Dirs = m.Dirs("")
	}
	return sets
}

// why counts what rounds ended with, by kind.
func (w *world) why(err error) {
	var refused *snapshot.RefusedError
	text := fmt.Sprintf("%T", err)
	switch {
	case errors.As(err, &refused):
		text = string(refused.Why)
	case errors.Is(err, snapshot.ErrUnsettled):
		text = "unsettled"
	case errors.Is(err, context.DeadlineExceeded):
		text = "unsettled, no time"
	}
	w.reasons[text]++
}

// violationError is that deadman did what it must not.
type violationError struct{ what string }

func (v *violationError) Error() string { return v.what }

func violation(format string, args ...any) error {
	return &violationError{fmt.Sprintf(format, args...)}
}
