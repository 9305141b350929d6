package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"deadman"
	"deadman/internal/api"
	"deadman/internal/config"
	"deadman/internal/confine"
	"deadman/internal/document"
	"deadman/internal/snapshot"
)

// The words that stand for a snapshot without naming it.
const (
	wordKnownGood = "known-good"
	wordLive      = "live"
)

// Snapshots lists what is stored of an agent, newest first. An error beside a
// list says what could not be read of it: a broken manifest hides no other.
func (d *Daemon) Snapshots(ctx context.Context, name string) ([]api.Snapshot, error) {
	v, err := d.view(name)
	if err != nil {
		return nil, err
	}
	defer v.close()
	all, err := v.list()
	good, gerr := v.knownGood()
	// Without a look at the config none is marked as live; `check` says why.
	live, _ := v.look(ctx)
	out := make([]api.Snapshot, 0, len(all))
	for _, m := range all {
		s := describe(m)
		s.Members = nil // show has them; a list would drown in them
		s.KnownGood = m.ID == good.ID
		s.Live = live != nil && live.Hash == m.Hash
		out = append(out, s)
	}
	return out, errors.Join(err, gerr)
}

// Show describes one snapshot: by its id or a unique prefix of it, "known-good",
// or "live", which is today's config whether it is stored or not.
func (d *Daemon) Show(ctx context.Context, name, id string) (api.Snapshot, error) {
	v, err := d.view(name)
	if err != nil {
		return api.Snapshot{}, err
	}
	defer v.close()
	ver, err := v.version(ctx, id)
	if err != nil {
		return api.Snapshot{}, err
	}
	s := describe(ver.manifest)
	if good, err := v.knownGood(); err == nil {
		s.KnownGood = s.ID == good.ID
	}
	if id == wordLive {
		s.Live = true
		return s, nil
	}
	if live, err := v.look(ctx); err == nil {
		s.Live = live.Hash == s.Hash
	}
	return s, nil
}

// Pin keeps a snapshot from retention, or lets it go. It rewrites one manifest,
// and takes the agent's lock for that if it is free: beside a guard at work it
// does without, since a pin matters most in the middle of an incident.
func (d *Daemon) Pin(ctx context.Context, name, id string, pinned bool) error {
	v, err := d.view(name)
	if err != nil {
		return err
	}
	defer v.close()
	ver, err := v.version(ctx, id)
	if err != nil {
		return err
	}
	if !ver.stored {
		return &saidError{fmt.Sprintf("cannot pin what is live of %s: it is not stored", name), "`deadman check` stores it"}
	}
	if l, err := acquire(ctx, d.agentDir(name), name, false, 0); err == nil {
		defer l.release()
	}
	return v.store.Pin(ver.manifest.ID, pinned)
}

// view is one agent as those see it who only look.
type view struct {
	agent  config.Agent
	sets   []snapshot.Set
	limits snapshot.Limits
	// store is nil while nothing was ever stored: looking creates nothing.
	store *snapshot.Store
}

func (d *Daemon) view(name string) (*view, error) {
	a, err := d.agent(name)
	if err != nil {
		return nil, err
	}
	v := &view{agent: a}
	v.sets, v.limits = sets(a)
	_, err = os.Stat(filepath.Join(d.agentDir(name), "snapshots"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return v, nil
	case err != nil:
		return nil, fmt.Errorf("cannot look at the snapshots of %s: %w", name, err)
	}
	if v.store, err = d.store(name); err != nil {
		return nil, err
	}
	if good, err := v.knownGood(); err == nil && good.ID != "" {
		for i := range v.sets {
			v.sets[i].Dirs = good.Dirs(v.sets[i].Label)
		}
	}
	return v, nil
}

func (v *view) close() {
	if v.store != nil {
		_ = v.store.Close()
	}
}

func (v *view) list() ([]snapshot.Manifest, error) {
	if v.store == nil {
		return nil, nil
	}
	return v.store.List()
}

// knownGood is the zero manifest where there is none.
func (v *view) knownGood() (snapshot.Manifest, error) {
	if v.store == nil {
		return snapshot.Manifest{}, nil
	}
	m, _, err := v.store.KnownGood()
	return m, err
}

func (v *view) look(ctx context.Context) (look *snapshot.Look, err error) {
	confine.Do(rulesFor(v.sets, "", mayRead), func() { look, err = snapshot.Observe(ctx, v.sets, v.limits) })
	return look, err
}

// version is a config set with its bytes, stored or live.
type version struct {
	manifest snapshot.Manifest
	// stored: the manifest is one of the store, and not made up for a look.
	stored bool
	read   func(name string) ([]byte, error)
}

// version finds what id names.
func (v *view) version(ctx context.Context, id string) (version, error) {
	switch id {
	case wordLive:
		return v.live(ctx)
	case wordKnownGood:
		m, err := v.knownGood()
		if err != nil {
			return version{}, err
		}
		if m.ID == "" {
			return version{}, noKnownGood(v.agent.Name)
		}
		return v.stored(m), nil
	}
	hint := listing(v.agent.Name)
	if v.store == nil {
		return version{}, &saidError{fmt.Sprintf("cannot find snapshot %q of %s: nothing is stored", id, v.agent.Name), hint}
	}
	m, err := v.store.Load(id)
	if errors.Is(err, fs.ErrNotExist) {
		return version{}, &saidError{err.Error(), hint}
	}
	if err != nil {
		return version{}, err
	}
	return v.stored(m), nil
}

// listing is the hint for who named a snapshot that is not there.
func listing(agent string) string {
	return fmt.Sprintf("`deadman snapshots %s` lists what is stored", agent)
}

// noKnownGood is the error for who asked for one.
func noKnownGood(agent string) error {
	return &saidError{fmt.Sprintf("cannot find the known good of %s: there is none yet", agent), "`deadman check` makes one when the agent is healthy"}
}

func (v *view) stored(m snapshot.Manifest) version {
	return version{manifest: m, stored: true, read: func(name string) ([]byte, error) { return v.store.ReadFile(m.ID, name) }}
}

// live is what is on disk now, with what the store knows of it.
func (v *view) live(ctx context.Context) (version, error) {
	look, err := v.look(ctx)
	if err != nil {
		return version{}, err
	}
	ver := version{read: func(name string) ([]byte, error) { return look.Bytes(name), nil }}
	if v.store != nil {
		if ver.manifest, ver.stored, err = v.store.ByHash(look.Hash); err != nil {
			return version{}, err
		}
	}
	if !ver.stored {
		ver.manifest = snapshot.Manifest{
			ID: wordLive, Agent: v.agent.Name, Hash: look.Hash, Content: look.Content, Identity: look.Identity,
			Sets: v.sets, Roots: look.Roots, Members: look.Members,
		}
	}
	return ver, nil
}

// format is what a member is parsed as today.
func (v *view) format(m snapshot.Member) document.Format {
	return (&world{sets: v.sets}).format(m)
}

// describe is a manifest as others see it.
func describe(m snapshot.Manifest) api.Snapshot {
	s := api.Snapshot{
		ID: m.ID, Agent: m.Agent, Created: m.Created, Seen: m.Seen, Standing: m.Standing,
		Provisional: m.Provisional, Pinned: m.Pinned, Hash: m.Hash, Evidence: m.Evidence,
	}
	for _, member := range m.Members {
		s.Members = append(s.Members, api.Member{
			Name: member.Name(), Type: string(member.Type), Mode: fmt.Sprintf("%04o", member.Mode),
			Owner: owner(member), Size: member.Size, SHA256: member.SHA256,
		})
	}
	for _, c := range m.History {
		line := fmt.Sprintf("%s %s: %s", stamp(c.Time), c.Standing, sentence(c.Reason))
		if c.Incident != "" {
			line += " (incident " + c.Incident + ")"
		}
		s.History = append(s.History, line)
	}
	for _, p := range slices.SortedFunc(slices.Values(m.Proofs), func(a, b snapshot.Proof) int { return a.Time.Compare(b.Time) }) {
		line := stamp(p.Time) + " " + sentence(p.Evidence)
		if p.AgentVersion != "" {
			line += ", under version " + p.AgentVersion
		}
		s.Proofs = append(s.Proofs, line)
	}
	return s
}

func owner(m snapshot.Member) string { return fmt.Sprintf("%d:%d", m.UID, m.GID) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// sentence is the rule behind a word that is a reason, or the word.
func sentence(word string) string {
	var reason deadman.Reason
	if reason.UnmarshalText([]byte(word)) == nil && reason != deadman.ReasonUnset {
		return reason.Rule()
	}
	return word
}
