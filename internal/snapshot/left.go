package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Left is something that a pattern names, or that stands where the known good has
// a member, and that cannot be captured: a FIFO, a core file over the limit. In
// health it is a reason to capture nothing. For who is about to put the known good
// back it would be one never to do so, so ObserveGone leaves it and says what it
// was.
type Left struct {
	Set, Path string
	Why       Refusal
	Inode     uint64
}

// Name is as a Member's.
func (l Left) Name() string { return Member{Set: l.Set, Path: l.Path}.Name() }

func (l Left) String() string {
	return fmt.Sprintf("%q: %s", strings.ToValidUTF8(l.Name(), "\ufffd"), l.Why)
}

type leftJSON struct {
	Set   text    `json:"set,omitzero"`
	Path  text    `json:"path"`
	Why   Refusal `json:"why"`
	Inode uint64  `json:"inode"`
}

func (l Left) MarshalJSON() ([]byte, error) {
	return json.Marshal(leftJSON{text(l.Set), text(l.Path), l.Why, l.Inode})
}

func (l *Left) UnmarshalJSON(b []byte) error {
	var j leftJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*l = Left{string(j.Set), string(j.Path), j.Why, j.Inode}
	return nil
}

// leavable are the refusals that are about one name, and not about the set. So
// many can be left as can be captured: more is somebody's work.
var leavable = []Refusal{NotRegular, NotFile, HardLink, FileTooBig, SetTooBig, TooMany, TooDeep}

// leave returns nil if what was refused with err is left, as it may be in this
// look, and err if not.
func (o *observer) leave(d *directory, name string, info fs.FileInfo, err error) error {
	var refused *RefusedError
	if !o.gone || !errors.As(err, &refused) || !slices.Contains(leavable, refused.Why) || len(o.look.Left) >= o.limits.Files {
		return err
	}
	o.look.Left = append(o.look.Left, Left{Set: o.in.Label, Path: d.join(name), Why: refused.Why, Inode: stampOf(info).inode})
	return nil
}
