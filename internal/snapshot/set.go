package snapshot

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"deadman/internal/document"
)

// Set is one directory's worth of an agent's config set. All sets of an agent
// are captured together and put back together.
//
// A pattern is relative to Root and slash separated. In an element `*`, `?`
// and `[a-z]` mean what they mean to path.Match, and match hidden names too;
// `\` takes the next character literally. An element `**` stands for any
// number of elements, none included; at the end it stands for at least one.
// A pattern without any of these is a literal.
type Set struct {
	// Label is "" when the agent has a single set. Otherwise it is unique
	// among the agent's sets, and the first path element of its members in
	// the store.
	Label string `json:"label,omitempty"`
	// Root is the absolute path of the directory.
	Root string `json:"root"`
	// Files are the patterns of what is captured and restored.
	Files []string `json:"files,omitempty"`
	// Exclude wins over Files and Reads. A pattern without a slash matches the
	// base name at any depth. Everything beneath an excluded directory is
	// excluded.
	Exclude []string `json:"exclude,omitempty"`
	// Reads are the patterns of files that belong to another agent: captured
	// and compared, never restored. It wins over Files.
	Reads []string `json:"reads,omitempty"`
	// Follow are the absolute directories that links may lead into. Any other
	// link is captured as a link, and its target is never read.
	Follow []string `json:"follow,omitempty"`
	// Preserve are the keys whose values the identity leaves out.
	Preserve []document.Key `json:"preserve,omitempty"`
	// Dirs are the directories that the known good has members in. What stands
	// in the place of one, and could hide such a member, is captured, whatever
	// it is and whether a pattern matches it: it is in the way of putting the
	// known good back, and nothing is replaced that was not captured. They are of
	// no manifest.
	Dirs map[string]bool `json:"-"`
	// Formats says how to parse a file whose name does not tell, by path.
	Formats map[string]document.Format `json:"formats,omitempty"`
}

// RootID is which directory a set's root was when it was looked at. A root
// that was moved away and replaced has another inode, which is a change and
// not an empty config.
type RootID struct {
	Label string `json:"label,omitempty"`
	// Path is as configured, Real the same without links. Real is empty in what
	// earlier versions have recorded.
	Path   string `json:"path"`
	Real   string `json:"real,omitempty"`
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	// Mode (07777), UID and GID are for making the root anew where it is gone;
	// they are not part of any hash.
	Mode uint32 `json:"mode"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
}

// Limits bound what one look reads, so that a confused or hostile agent cannot
// fill our memory or our disk. They are enforced on what is read, never on
// what a file claims to be.
type Limits struct {
	File  int64 // bytes in one file
	Set   int64 // bytes in all sets of an agent together
	Files int   // files, directories and links in all sets together
}

// DefaultLimits hold for an agent that sets none.
var DefaultLimits = Limits{File: 16 << 20, Set: 64 << 20, Files: 10_000}

// valid reports the first mistake in sets that would make a capture ambiguous
// or unsafe. The config parser reports the same with line and column; here it
// protects the store.
func valid(sets []Set) error {
	if len(sets) == 0 {
		return errors.New("cannot capture: no config set is given")
	}
	if err := validRoots(sets); err != nil {
		return fmt.Errorf("cannot capture: %v", err)
	}
	for _, s := range sets {
		for _, list := range [][]string{s.Files, s.Exclude, s.Reads} {
			for _, pattern := range list {
				if err := ValidPattern(pattern); err != nil {
					return err
				}
			}
		}
		for _, dir := range s.Follow {
			if !filepath.IsAbs(dir) {
				return fmt.Errorf("cannot capture %q: follow %q is not an absolute path", s.Root, dir)
			}
		}
	}
	return nil
}

// validRoots reports the first mistake that would put two files in one place
// of the store, or one outside it.
func validRoots(sets []Set) error {
	var labels []string
	for _, s := range sets {
		switch {
		case s.Label == "" && len(sets) > 1:
			return fmt.Errorf("set %q of several has no label", s.Root)
		case s.Label != "" && (strings.Contains(s.Label, "/") || !validPath(s.Label) || !utf8.ValidString(s.Label)):
			return fmt.Errorf("label %q is not a single path element", s.Label)
		case slices.Contains(labels, s.Label):
			return fmt.Errorf("label %q is used by two sets", s.Label)
		case !filepath.IsAbs(s.Root):
			return fmt.Errorf("root %q is not an absolute path", s.Root)
		}
		labels = append(labels, s.Label)
	}
	return nil
}
