package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"deadman/internal/atomicfile"
	"deadman/internal/document"
	"deadman/internal/snapshot"
)

// Version is the version of the plans this program writes, and the only one it
// executes.
const Version = 1

// Plan is all that is needed to put a snapshot back, and to finish doing so
// after a crash. It holds paths, hashes, modes and owners, never contents.
type Plan struct {
	Version  int       `json:"version"`
	Agent    string    `json:"agent"`
	Snapshot string    `json:"snapshot"` // id of what is put back
	Keep     string    `json:"keep"`     // id of what was live before
	Created  time.Time `json:"created"`
	Steps    []Step    `json:"steps"` // in the order of execution
	// Sets are today's patterns and Was the snapshot's: what both match is
	// touched, and is compared when everything is read back.
	Sets []snapshot.Set `json:"sets"`
	Was  []snapshot.Set `json:"was"`
	// Roots are the root directories as they were when the plan was made. One
	// without an inode was gone, and is made anew.
	Roots []snapshot.RootID `json:"roots"`
	// Follows are the directories outside of them that links lead into and the
	// plan changes.
	Follows []snapshot.RootID `json:"follows,omitempty"`
	// Left is what Keep could not take, and left.
	Left    []snapshot.Left `json:"left,omitempty"`
	Reverts []Revert        `json:"reverts,omitempty"`
	Notes   []string        `json:"notes,omitempty"`
	// Abandoned: nothing was replaced and nothing will be. The plan is kept for
	// Tidy alone.
	Abandoned bool `json:"abandoned,omitempty"`

	stateDir string            // where splices were saved; "" before Save
	begun    bool              // perhaps carried out in part
	splices  map[string][]byte // by sha256, until Save
}

// Op is what a step does.
type Op string

const (
	// OpMkdir makes a directory if it is missing, usable by us alone until
	// OpSettle.
	OpMkdir Op = "mkdir"
	// OpPut puts a file or link where there is another one, or none.
	OpPut Op = "put"
	// OpRepair sets mode, owner or extended attributes of a file whose bytes are
	// right.
	OpRepair Op = "repair"
	// OpHold changes nothing: the file is right, and must still be so at the end.
	OpHold Op = "hold"
	// OpRemove removes a file or link that Keep has stored and the snapshot has
	// not.
	OpRemove Op = "remove"
	// OpRmdir removes a directory that the snapshot has not, if it is empty.
	OpRmdir Op = "rmdir"
	// OpSettle gives a directory its owner, mode and extended attributes, after
	// everything in it is done.
	OpSettle Op = "settle"
)

// Step is one member to be dealt with.
type Step struct {
	Op Op `json:"op"`
	// Dir is the absolute directory beneath which the member is reached without
	// following links: the root of its set, or the `follow` directory that a
	// link leads into.
	Dir string `json:"dir"`
	// Temp is the name under which a file is staged, and under which a
	// displaced one waits, in the directory of the member.
	Temp string `json:"temp,omitempty"`
	// Have is what Keep took, nil for nothing; Want is what shall be, nil for
	// nothing.
	Have *snapshot.Member `json:"have,omitempty"`
	Want *snapshot.Member `json:"want,omitempty"`
	// Spliced: the bytes are the snapshot's with preserved values, staged
	// beside the plan.
	Spliced bool `json:"spliced,omitempty"`
	// Through: the member is reached by a link in the set, and is itself
	// outside of it.
	Through bool `json:"through,omitempty"`
	// Aside is the name, in the directory of the member, under which what could
	// not be kept gets out of the way of Want: what is neither file nor link, a
	// directory where Want is none, and the file with the inode Left. Nobody
	// removes it.
	Aside string `json:"aside,omitempty"`
	Left  uint64 `json:"left,omitempty"`
}

func (s Step) member() snapshot.Member {
	if s.Want != nil {
		return *s.Want
	}
	return *s.Have
}

// Name is the name of the step's member among all members of the agent.
func (s Step) Name() string { return s.member().Name() }

// path is the member's path relative to Dir.
func (s Step) path() string {
	m := s.member()
	if !s.Through {
		return m.Path
	}
	rel, err := filepath.Rel(s.Dir, m.Followed)
	if err != nil {
		return m.Followed // refused when it is opened
	}
	return rel
}

// Path is the absolute path of the file, link or directory.
func (s Step) Path() string { return filepath.Join(s.Dir, s.path()) }

// Revert is one file that the plan changes, and which of its keys. It never
// holds a value.
type Revert struct {
	Name string `json:"name"`
	// Kind is what becomes of the live file.
	Kind document.ChangeKind `json:"kind"`
	// Keys are what changes in it from the live bytes to the restored ones. They
	// are empty when one of the two does not parse or has no keys, and when only
	// mode or owner change.
	Keys []document.Change `json:"keys,omitempty"`
}

// Through returns the absolute paths outside of the sets that the plan changes,
// because links in them lead there.
func (p *Plan) Through() []string {
	var paths []string
	for _, s := range p.Steps {
		if s.Through && s.Op != OpHold {
			paths = append(paths, s.Path())
		}
	}
	return paths
}

// Reverted returns the files, and the key paths in them, that change when the
// plan is carried out.
func (p *Plan) Reverted() []Revert { return p.Reverts }

// The plan and the spliced files in the agent's state directory.
const (
	planFile  = "plan.json"
	spliceDir = "plan.d"
)

// Save writes the plan to stateDir, durably, in place of any plan there. It
// must be done before Execute, or a crash within leaves half a set.
func (p *Plan) Save(stateDir string) error {
	root, err := os.OpenRoot(stateDir)
	if err != nil {
		return fmt.Errorf("cannot save plan: %w", err)
	}
	defer root.Close()
	if err := root.Mkdir(spliceDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot save plan: %w", err)
	}
	needed := map[string]bool{}
	for _, s := range p.Steps {
		if !s.Spliced {
			continue
		}
		sum := s.Want.SHA256
		needed[sum] = true
		data, err := p.splice(sum)
		if err != nil {
			return err
		}
		if err := atomicfile.WriteFile(root, path.Join(spliceDir, sum), data, 0o600); err != nil {
			return fmt.Errorf("cannot save plan: %w", err)
		}
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot save plan: %w", err)
	}
	if err := atomicfile.WriteFile(root, planFile, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot save plan: %w", err)
	}
	p.stateDir = stateDir
	// What an earlier plan had staged goes last: until now it was needed.
	entries, err := fs.ReadDir(root.FS(), spliceDir)
	if err != nil {
		return fmt.Errorf("cannot save plan: %w", err)
	}
	for _, e := range entries {
		if !needed[e.Name()] {
			err = errors.Join(err, root.Remove(path.Join(spliceDir, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("cannot save plan: %w", err)
	}
	return nil
}

// Load returns the plan in stateDir, if there is one. A plan that another
// version of the program has written, or that is damaged, is an error and not
// "none": it is a set of files that may be half put back.
func Load(stateDir string) (*Plan, bool, error) {
	data, err := os.ReadFile(filepath.Join(stateDir, planFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot load plan: %w", err)
	}
	var head struct{ Version int }
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, false, fmt.Errorf("cannot load plan %s: %v", filepath.Join(stateDir, planFile), err)
	}
	if head.Version != Version {
		return nil, false, fmt.Errorf("cannot load plan %s: it has version %d and this program knows %d",
			filepath.Join(stateDir, planFile), head.Version, Version)
	}
	p := &Plan{stateDir: stateDir, begun: true}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, false, fmt.Errorf("cannot load plan %s: %v", filepath.Join(stateDir, planFile), err)
	}
	for _, s := range p.Steps {
		if err := s.valid(); err != nil {
			return nil, false, fmt.Errorf("cannot load plan %s: %v", filepath.Join(stateDir, planFile), err)
		}
	}
	return p, true, nil
}

// valid reports why a step is none that Prepare has made. What is damaged must
// neither end deadman in the middle of a restore nor lead it elsewhere.
func (s Step) valid() error {
	needed := s.Want
	switch s.Op {
	case OpMkdir, OpPut, OpRepair, OpHold, OpSettle:
	case OpRemove, OpRmdir:
		needed = s.Have
	default:
		return fmt.Errorf("a step is of the unknown kind %q", s.Op)
	}
	if needed == nil {
		return errors.New("a step names no member")
	}
	for _, m := range []*snapshot.Member{s.Want, s.Have} {
		if m == nil {
			continue
		}
		if err := m.CheckPaths(); err != nil {
			return fmt.Errorf("member %q: %v", m.Name(), err)
		}
		if m.Name() != needed.Name() {
			return fmt.Errorf("one step is about %q and %q", m.Name(), needed.Name())
		}
	}
	switch {
	case !filepath.IsAbs(s.Dir):
		return fmt.Errorf("%q is not an absolute directory", s.Dir)
	case !filepath.IsLocal(s.path()):
		return fmt.Errorf("member %q is not beneath %q", s.Name(), s.Dir)
	case s.Temp != "" && !strings.HasPrefix(s.Temp, atomicfile.Prefix), strings.Contains(s.Temp, "/"):
		return fmt.Errorf("%q is not the name of a temporary file", s.Temp)
	}
	return nil
}

// Remove forgets the plan in stateDir and what was staged for it. That there
// is none is no error.
func Remove(stateDir string) error {
	root, err := os.OpenRoot(stateDir)
	if err != nil {
		return fmt.Errorf("cannot remove plan: %w", err)
	}
	defer root.Close()
	if err := root.Remove(planFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove plan: %w", err)
	}
	// The plan must be gone for good before what it needs is.
	if err := atomicfile.SyncDir(root, "."); err != nil {
		return fmt.Errorf("cannot remove plan: %w", err)
	}
	if err := root.RemoveAll(spliceDir); err != nil {
		return fmt.Errorf("cannot remove plan: %w", err)
	}
	return nil
}

// splice returns the spliced bytes with the hash sum.
func (p *Plan) splice(sum string) ([]byte, error) {
	if data, ok := p.splices[sum]; ok {
		return data, nil
	}
	if p.stateDir == "" {
		return nil, errors.New("cannot read spliced file: the plan was never saved")
	}
	data, err := os.ReadFile(filepath.Join(p.stateDir, spliceDir, sum))
	if err != nil {
		return nil, fmt.Errorf("cannot read spliced file: %w", err)
	}
	if digest(data) != sum {
		return nil, fmt.Errorf("cannot use spliced file %s: its bytes have changed", filepath.Join(p.stateDir, spliceDir, sum))
	}
	return data, nil
}
