package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"deadman/internal/api"
	"deadman/internal/atomicfile"
	"deadman/internal/canonical"
	"deadman/internal/config"
	"deadman/internal/document"
	"deadman/internal/lifecycle"
	"deadman/internal/record"
	"deadman/internal/snapshot"
)

// publication is what was published last: publish.json in the agent's directory. It
// is the cursor of this sink: what the known good is now says what is due.
type publication struct {
	// Due is the known good and where it was to go.
	Due    string `json:"due"`
	Commit string `json:"commit,omitempty"`
	// Error is why Due could not be done; it has been said.
	Error string `json:"error,omitempty"`
}

const publicationFile = "publish.json"

func (d *Daemon) publication(name string) publication {
	var p publication
	if text, err := os.ReadFile(filepath.Join(d.agentDir(name), publicationFile)); err == nil {
		_ = json.Unmarshal(text, &p) // What cannot be read is published once more.
	}
	return p
}

// due names what is to be published of a known good.
func due(a config.Agent, snapshot string) string {
	return strings.Join(append([]string{snapshot, a.Publish.Repo, a.Publish.Push}, a.Publish.Files...), " ")
}

// Publish commits the listed members of the known good of each agent, or of all that
// have publish, and pushes the branch if that is asked for. Of what is there already
// there is no second commit.
func (d *Daemon) Publish(ctx context.Context, names []string, push bool) ([]api.Published, error) {
	agents, err := d.agents(names)
	if err != nil {
		return nil, err
	}
	var out []api.Published
	var errs []error
	for _, a := range agents {
		if a.Publish.Repo == "" {
			if len(names) > 0 {
				errs = append(errs, &saidError{fmt.Sprintf("cannot publish %s: it has no publish in the config", a.Name), "see publish in docs/reference.md"})
			}
			continue
		}
		if push && a.Publish.Push == "" {
			errs = append(errs, &saidError{fmt.Sprintf("cannot push for %s: publish names no remote", a.Name), "publish: {push: origin} does"})
			continue
		}
		one, err := d.publishOne(ctx, a, push)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, one)
	}
	return out, errors.Join(errs...)
}

// publishDue publishes the known good of an agent where that is new, and returns
// what went wrong if it was not said before. It waits for nobody and has nobody wait:
// whoever calls it holds no lock.
func (d *Daemon) publishDue(ctx context.Context, a config.Agent) error {
	if a.Publish.Repo == "" {
		return nil
	}
	id, err := os.Readlink(filepath.Join(d.agentDir(a.Name), "last-known-good"))
	if err != nil {
		return nil // There is none yet.
	}
	was := d.publication(a.Name)
	p := publication{Due: due(a, filepath.Base(filepath.Dir(id)))}
	if was.Due == p.Due && was.Error == "" {
		return nil
	}
	one, err := d.publishOne(ctx, a, a.Publish.Push != "")
	var provisional *provisionalError
	switch {
	case errors.As(err, &provisional), ctx.Err() != nil, errors.Is(err, errPublishing):
		return nil // Not yet.
	case err != nil:
		p.Error = err.Error()
	default:
		p.Commit = one.Commit
	}
	if p == was {
		return nil
	}
	text, merr := json.Marshal(p)
	if merr == nil {
		merr = d.writeIn(a.Name, publicationFile, text)
	}
	return errors.Join(err, merr)
}

// publishRetry is how long a repository that failed is left alone by a watch.
const publishRetry = 5 * time.Minute

// publishAlways publishes whenever there is news, and again after a failure, until
// ctx ends.
func (d *Daemon) publishAlways(ctx context.Context, news <-chan struct{}, warn func(error)) {
	for {
		var again <-chan time.Time
		for _, a := range d.cfg.Agents {
			if err := d.publishDue(ctx, a); err != nil {
				warn(fmt.Errorf("%s: %w", a.Name, err))
			}
			if a.Publish.Repo != "" && d.publication(a.Name).Error != "" {
				again = time.After(publishRetry)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		case <-again:
		}
	}
}

// writeIn writes a file in an agent's directory.
func (d *Daemon) writeIn(name, file string, data []byte) error {
	root, err := os.OpenRoot(d.agentDir(name))
	if err != nil {
		return err
	}
	defer root.Close()
	return atomicfile.WriteFile(root, file, data, 0o600)
}

// errPublishing is that another deadman is at it.
var errPublishing = errors.New("cannot publish: another deadman is publishing it")

// provisionalError is that nothing is proven yet.
type provisionalError struct{ agent string }

func (e *provisionalError) Error() string {
	return fmt.Sprintf("cannot publish %s: nothing of it is proven yet", e.agent)
}

// Hint says when it will be.
func (e *provisionalError) Hint() string {
	return "what is published is what others start from: it takes a good start, or `deadman accept`"
}

// publishOne publishes the known good of one agent.
func (d *Daemon) publishOne(ctx context.Context, a config.Agent, push bool) (api.Published, error) {
	v, err := d.view(a.Name)
	if err != nil {
		return api.Published{}, err
	}
	defer v.close()
	good, err := v.knownGood()
	switch {
	case err != nil:
		return api.Published{}, err
	case good.ID == "" || good.Provisional:
		return api.Published{}, &provisionalError{a.Name}
	}
	turn := flock.New(filepath.Join(d.agentDir(a.Name), "publish.lock"), flock.SetPermissions(0o600))
	if ok, err := turn.TryLock(); err != nil || !ok {
		return api.Published{}, cmp.Or(err, errPublishing)
	}
	defer turn.Unlock()
	files, err := v.published(good)
	if err != nil {
		return api.Published{}, err
	}
	host, err := os.Hostname()
	if err != nil {
		return api.Published{}, err
	}
	repo := canonical.Repo{Path: a.Publish.Repo}
	version := canonical.Version{
		Ref: canonical.Branch("deadman", host, a.Name), Files: files, Name: "deadman", Mail: "deadman@" + host, At: time.Now(),
		Message: fmt.Sprintf("Known good of %s on %s\n\nSnapshot: %s\nHash: %s\nIncident: %s\n", a.Name, host, good.ID, good.Hash, cmp.Or(d.provenIn(ctx, a.Name, good.ID), "none")),
	}
	out := api.Published{Name: a.Name, Snapshot: good.ID, Repo: repo.Path, Branch: strings.TrimPrefix(version.Ref, "refs/heads/")}
	if out.Commit, out.New, err = repo.Commit(ctx, version); err != nil {
		return out, err
	}
	if push {
		if err := repo.Push(ctx, a.Publish.Push, version.Ref); err != nil {
			return out, err
		}
		out.Pushed = a.Publish.Push
	}
	return out, nil
}

// published are the members that publish lists.
func (v *view) published(good snapshot.Manifest) ([]canonical.File, error) {
	listed := snapshot.Set{Files: v.agent.Publish.Files}
	var files []canonical.File
	for _, m := range good.Members {
		if m.Reads || m.Type == snapshot.Dir || !listed.Matches(m.Name()) {
			continue
		}
		if v.format(m) == document.Env {
			return nil, &saidError{fmt.Sprintf("cannot publish %s of %s: there are secrets in it", m.Name(), v.agent.Name), "leave it out of publish.files"}
		}
		f := canonical.File{Path: m.Name(), Type: canonical.Type(m.Type), Executable: m.Type == snapshot.File && m.Mode&0o100 != 0, Bytes: []byte(m.Target)}
		if m.Type == snapshot.File {
			data, err := v.store.ReadFile(good.ID, m.Name())
			if err != nil {
				return nil, err
			}
			f.Bytes = data
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, &saidError{fmt.Sprintf("cannot publish %s: publish.files names nothing that its known good has", v.agent.Name), fmt.Sprintf("`deadman show %s` lists its files", v.agent.Name)}
	}
	return files, nil
}

// provenIn is the incident in which a snapshot was promoted last, "" if there was
// none, or it cannot be told.
func (d *Daemon) provenIn(ctx context.Context, agent, id string) string {
	log, err := d.readLog()
	if err != nil || log == nil {
		return ""
	}
	defer log.Close()
	const back = 2000 // entries; it was promoted just now, as a rule
	for e, err := range log.Entries(ctx, record.Query{Agent: agent, Newest: true, Limit: back}) {
		if err == nil && e.Kind == string(lifecycle.DoPromote) && e.Snapshot == id {
			return e.Incident
		}
	}
	return ""
}

// publishing says in doctor what could not be published.
func (x *examination) publishing(a config.Agent) {
	switch was := x.d.publication(a.Name); {
	case a.Publish.Repo == "":
	case was.Error != "":
		x.bad(a.Name, was.Error, "it is tried again in every round; `deadman publish "+a.Name+"` tries it now")
	case was.Commit != "":
		x.ok(a.Name, fmt.Sprintf("published as %.12s in %s", was.Commit, a.Publish.Repo))
	}
}
