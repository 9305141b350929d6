package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxHops is how many links in a row are followed, as in the kernel.
const maxHops = 40

// follow is a directory that links may lead into.
type follow struct {
	root  *os.Root
	id    RootID
	noted bool // in Look.Follows
	owner int
	names []string // its absolute path as configured, and without links
}

// link captures the link name in d. When Follow allows where it leads, what is
// there is captured under the link's name; otherwise the link itself is, and
// its target is not so much as looked at.
func (o *observer) link(d *directory, name string, info fs.FileInfo, from, at position, v verdict) error {
	before := stampOf(info)
	target, err := d.root.Readlink(name)
	if err == nil {
		var now fs.FileInfo
		if now, err = d.root.Lstat(name); err == nil && stampOf(now) != before {
			err = ErrUnsettled
		}
	}
	if err != nil {
		return errors.Join(ErrUnsettled, err)
	}
	m := Member{Set: o.in.Label, Path: d.join(name), Type: Link, Target: target, Reads: v.reads}
	matched := v.files || v.reads
	end, ok := o.resolve(d, target)
	if ok && !end.in.noted {
		end.in.noted = true
		o.look.Follows = append(o.look.Follows, end.in.id)
	}
	switch {
	case ok && end.info.Mode().IsRegular() && matched:
		o.written(before)
		o.written(end.link)
		o.renamed(end.parent)
		m.Followed = end.path
		return o.file(d, end.in.root, end.name, end.in.owner, end.info, m)
	case ok && end.info.IsDir() && at.open() && !within(d, stampOf(end.info)):
		o.written(before)
		o.written(end.link)
		o.renamed(end.parent)
		self := before.member(m)
		self.Size, self.SHA256 = int64(len(target)), sum([]byte(target))
		sub := &directory{parent: d, path: m.Path, followed: end.path, owner: end.in.owner, self: self}
		if err := o.enter(sub, end.in.root, end.name, end.info, at); err != nil || sub.captured {
			return err
		}
	case ok && !end.info.Mode().IsRegular() && !end.info.IsDir() && matched:
		return o.refuse(d, name, NotRegular, nil)
	}
	// The link itself, then. Where patterns go on beneath it, it stands in the place of a
	// directory, and hides what it should hold. Only ** passes by every link in
	// a tree; those are not the config's.
	if !matched && !at.beyond(from) && !o.in.Dirs[m.Path] {
		return nil
	}
	m = before.member(m)
	m.Size, m.SHA256 = int64(len(target)), sum([]byte(target))
	o.written(before)
	return o.add(d, m)
}

// within reports whether the walk is already inside the directory s.
func within(d *directory, s stamp) bool {
	for ; d != nil; d = d.parent {
		if d.is.device == s.device && d.is.inode == s.inode {
			return true
		}
	}
	return false
}

// end is where a link leads: the file name beneath in.
type end struct {
	in     *follow
	name   string
	path   string // absolute
	info   fs.FileInfo
	parent stamp // the youngest directory on the way
	link   stamp // the youngest link on the way
}

// resolve finds where the text of a link in d leads, one element at a time, as
// the kernel does. Every element beneath a directory of Follow is looked at
// through that directory's os.Root; elements above are those of its own
// configured path and taken as they are. It is not ok when the end is not
// beneath such a directory, or not there.
func (o *observer) resolve(d *directory, target string) (end, bool) {
	if len(o.in.Follow) == 0 {
		return end{}, false
	}
	var e end
	at := d.followed
	if !filepath.IsAbs(target) && at == "" {
		at = filepath.Join(o.physical, d.path)
	}
	todo := strings.Split(target, "/")
	if filepath.IsAbs(target) {
		at = "/"
	}
	for hops := 0; len(todo) > 0; {
		element := todo[0]
		todo = todo[1:]
		if e.info != nil && !e.info.IsDir() {
			return end{}, false // "file/.." leads nowhere
		}
		switch element {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			e.in, e.info = nil, nil
			continue
		}
		at = path.Join(at, element)
		e.in, e.info = nil, nil
		in, name, ok := o.follow(at)
		if !ok {
			continue
		}
		info, err := in.root.Lstat(name)
		if err != nil {
			return end{}, false
		}
		if up, err := in.root.Lstat(path.Dir(name)); err == nil {
			e.parent = e.parent.younger(stampOf(up))
		}
		if info.Mode().Type() != fs.ModeSymlink {
			e.in, e.name, e.path, e.info = in, name, at, info
			continue
		}
		if hops++; hops > maxHops {
			return end{}, false
		}
		text, err := in.root.Readlink(name)
		if err != nil {
			return end{}, false
		}
		e.link = e.link.younger(stampOf(info))
		at = path.Dir(at)
		if filepath.IsAbs(text) {
			at = "/"
		}
		todo = append(strings.Split(text, "/"), todo...)
	}
	return e, e.in != nil
}

// follow returns the directory of Follow that the absolute path is strictly
// beneath, and the path's name in it.
func (o *observer) follow(abs string) (*follow, string, bool) {
	if o.follows == nil {
		o.follows = make([]follow, 0, len(o.in.Follow))
		for _, name := range o.in.Follow {
			root, id, st, err := openRoot(name)
			if err != nil {
				continue // what is not there cannot be led into
			}
			id.Label = o.in.Label
			f := follow{root: root, id: id, owner: st.uid, names: []string{filepath.Clean(name)}}
			if id.Linked() {
				f.names = append(f.names, id.Real)
			}
			o.follows = append(o.follows, f)
		}
	}
	for i := range o.follows {
		for _, dir := range o.follows[i].names {
			if rel, ok := strings.CutPrefix(abs, strings.TrimRight(dir, "/")+"/"); ok {
				return &o.follows[i], rel, true
			}
		}
	}
	return nil, "", false
}
