package daemon

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"deadman"
	"deadman/internal/document"
	"deadman/internal/lifecycle"
	"deadman/internal/snapshot"
	"deadman/internal/validate"
)

// live is the config on disk, judged if it is not what was seen last.
func (w *world) live(ctx context.Context, s lifecycle.State, now sight) lifecycle.Live {
	if now.problem != nil {
		return lifecycle.Live{Unreadable: true}
	}
	live := w.facts(now.look)
	seen := s.Seen.Live
	if seen.Hash == live.Hash && seen.Valid == deadman.Healthy && !seen.Held {
		live.Valid, live.Bad, live.Cured = seen.Valid, seen.Bad, seen.Cured
		return live
	}
	w.judge(ctx, now.look, w.memo.Version, &live)
	return live
}

// facts are what a look itself tells.
func (w *world) facts(look *snapshot.Look) lifecycle.Live {
	live := lifecycle.Live{
		Config:  lifecycle.Config{Hash: look.Hash, Identity: look.Identity},
		Inodes:  inodes(look),
		Written: look.Written.UTC().Round(0),
		Changed: look.Changed.UTC().Round(0),
	}
	settle := time.Duration(0)
	for _, set := range w.agent.Config {
		settle = max(settle, set.Settle)
	}
	live.Settled = time.Since(look.Written) >= settle
	return live
}

// inodes fingerprints which inodes a look read, and where links to its
// directories lead.
func inodes(look *snapshot.Look) string {
	h := fnv.New64a()
	for _, m := range look.Members {
		fmt.Fprintf(h, "%d:%d ", m.Device, m.Inode)
	}
	for _, r := range look.Roots {
		fmt.Fprintf(h, "%d:%d ", r.Device, r.Inode)
	}
	for _, r := range slices.Concat(look.Roots, look.Follows) {
		if r.Linked() {
			fmt.Fprintf(h, "%q ", r.Real)
		}
	}
	return strconv.FormatUint(h.Sum64(), 16)
}

// judge asks whether a look of the live config would load under a version of the
// agent, whether a guard objects, and what the store remembers of it.
func (w *world) judge(ctx context.Context, look *snapshot.Look, version string, live *lifecycle.Live) {
	w.last.findings = w.weigh(ctx, look, version, live, false)
}

// weigh is judge of any look, and returns what speaks against it. Of one that was
// composed guards do not ask what has gone since the known good, which is what it
// may be for; and a validator that looks at the live files cannot be asked of it.
func (w *world) weigh(ctx context.Context, look *snapshot.Look, version string, live *lifecycle.Live, composed bool) []validate.Finding {
	files := w.files(look.Members, func(name string) []byte { return look.Bytes(name) })
	findings := validate.Syntax(files)
	live.Valid = deadman.Healthy
	if len(findings) > 0 {
		live.Valid = deadman.Unhealthy
	}
	var good []validate.File
	known, ok, err := w.store.KnownGood()
	if err == nil && ok && known.Hash != look.Hash && !composed {
		good = w.files(known.Members, func(name string) []byte {
			bytes, err := w.store.ReadFile(known.ID, name)
			if err != nil {
				return nil
			}
			return bytes
		})
	}
	if !ok || known.Hash != look.Hash {
		guards := validate.Guards(files, good)
		live.Held = len(guards) > 0
		findings = append(findings, guards...)
	}
	if !ok && len(look.Missing) > 0 {
		// With nothing to compare with, a file that the config spells out and
		// that is not there makes this no version to go back to.
		live.Valid = deadman.Unhealthy
		for _, name := range look.Missing {
			findings = append(findings, validate.Finding{Kind: validate.KindMissing, File: name, Message: "does not exist"})
		}
	}
	started := ok && known.Hash == look.Hash && provenUnder(known, version)
	asked := len(w.agent.Validate) > 0 && (!composed || validate.Portable(w.agent.Validate))
	if live.Valid == deadman.Healthy && asked && !started {
		if finding, ok := w.validator(ctx, look); !ok {
			findings = append(findings, finding)
			live.Valid = deadman.Unhealthy
			if finding.Kind == validate.KindCommandUnknown {
				live.Valid = deadman.Unknown
			}
		}
	}
	if same, err := w.store.ByIdentity(look.Identity); err == nil {
		for _, m := range same {
			live.Bad = live.Bad || m.Standing == deadman.Bad
			live.Cured = max(live.Cured, m.Cured)
			if m.Standing == deadman.Proven {
				// A person vouched for it, or a start did.
				live.Held = false
			}
		}
	}
	return findings
}

// provenUnder reports whether a version of the agent has started on these very
// bytes. That says more than its validator, and a validator that takes as long as a
// start would double the time that the agent is down.
func provenUnder(m snapshot.Manifest, version string) bool {
	return version != "" && m.Standing == deadman.Proven && slices.ContainsFunc(m.Proofs, func(p snapshot.Proof) bool { return p.AgentVersion == version })
}

// files are the members that can be judged by their content.
func (w *world) files(members []snapshot.Member, bytes func(string) []byte) []validate.File {
	var files []validate.File
	for _, m := range members {
		if m.Type == snapshot.Dir || m.Reads {
			continue
		}
		files = append(files, validate.File{Name: m.Name(), Format: w.format(m), Bytes: bytes(m.Name()), Link: m.Type == snapshot.Link})
	}
	return files
}

// format is what a member is to be parsed as.
func (w *world) format(m snapshot.Member) document.Format {
	for _, set := range w.sets {
		if set.Label != m.Set {
			continue
		}
		if f, ok := set.Formats[m.Path]; ok {
			return f
		}
	}
	return document.FormatOf(m.Path)
}

// validator runs the user's validator on a copy of the look if it asks for a
// directory, and on the live files if not.
func (w *world) validator(ctx context.Context, look *snapshot.Look) (validate.Finding, bool) {
	dir, err := w.writeOut(look)
	if err != nil {
		return validate.Finding{Kind: validate.KindCommandUnknown, Message: "no copy could be made for it: " + err.Error()}, false
	}
	defer os.RemoveAll(dir)
	return validate.Command(ctx, w.agent.Validate, dir, nil, w.agent.StartTimeout)
}

// copyPrefix begins the names of copies for a validator, in the agent's directory.
const copyPrefix = ".validate-"

// sweepCopies removes the copies of a deadman that was killed while a validator
// ran: they are a whole config, of which nobody else would ever take care. The
// caller holds the agent's lock, so none of them is in use.
func (w *world) sweepCopies() {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), copyPrefix) {
			_ = os.RemoveAll(filepath.Join(w.dir, e.Name()))
		}
	}
}

// writeOut writes a look into a new directory of ours, for a validator. With
// several sets each is beneath its label.
func (w *world) writeOut(look *snapshot.Look) (string, error) {
	dir, err := os.MkdirTemp(w.dir, copyPrefix)
	if err != nil {
		return "", err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return dir, err
	}
	defer root.Close()
	for _, m := range look.Members {
		switch m.Type {
		case snapshot.Dir:
			err = root.MkdirAll(m.Name(), 0o700)
		case snapshot.File:
			if err = root.MkdirAll(filepath.Dir(m.Name()), 0o700); err == nil {
				err = root.WriteFile(m.Name(), look.Bytes(m.Name()), 0o600)
			}
		}
		if err != nil {
			_ = os.RemoveAll(dir)
			return "", err
		}
	}
	return dir, nil
}
