package snapshot

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// file captures the regular file name beneath root, which Lstat found to be
// info. The member m, whose names are filled in, is in d; owner is who may own
// a file with several names.
func (o *observer) file(d *directory, root *os.Root, name string, owner int, info fs.FileInfo, m Member) error {
	before := stampOf(info)
	refuse := func(why Refusal, err error) error {
		return &RefusedError{Path: filepath.Join(o.in.Root, m.Path), Why: why, Err: err}
	}
	switch {
	case before.links > 1 && before.uid != owner:
		return refuse(HardLink, nil)
	case len(o.look.Members) >= o.limits.Files:
		return refuse(TooMany, nil)
	case before.size > o.limits.File:
		return refuse(FileTooBig, nil)
	case before.size > o.limits.Set-o.total:
		return refuse(SetTooBig, nil)
	}
	// O_NONBLOCK: a FIFO planted since Lstat, or a lease that the agent holds on
	// the file, must not make us wait. A link planted since Lstat that leads to
	// elsewhere beneath root is followed by os.Root; comparing what was opened
	// with what was seen, before anything is read, finds both.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EAGAIN):
		return ErrUnsettled
	case err != nil:
		if now, e := root.Lstat(name); e != nil || stampOf(now) != before {
			return ErrUnsettled
		}
		return refuse(Unreadable, err)
	}
	if same, err := unchanged(f, before); err != nil || !same {
		f.Close()
		return errors.Join(err, ErrUnsettled)
	}
	data, err := readLimited(f, min(o.limits.File, o.limits.Set-o.total))
	if err == nil {
		m.Xattrs, err = xattrs(f)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, errTooBig) {
			return ErrUnsettled // it grew past a limit that its size was within
		}
		return refuse(Unreadable, err)
	}
	o.held = append(o.held, held{f, before})
	o.total += int64(len(data))
	m.Type = File
	m = before.member(m)
	m.Size, m.SHA256 = int64(len(data)), sum(data)
	o.look.bytes[m.Name()] = data
	o.written(before)
	if err := o.add(d, m); err != nil {
		return err
	}
	if len(o.held) == maxHeld {
		return o.settled()
	}
	return nil
}

var errTooBig = errors.New("cannot read file: it is bigger than the limit")

// readLimited reads to the end. The buffer grows with what is there, never with
// what the file claims to be.
func readLimited(f *os.File, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	buf.Grow(4 << 10)
	n, err := buf.ReadFrom(io.LimitReader(f, limit+1))
	if err == nil && n > limit {
		err = errTooBig
	}
	return slices.Clip(buf.Bytes()), err
}

// settled closes the files held open. All of them must still be what they were
// before they were read: a file that was replaced has lost a name, so its
// ctime has moved as well.
func (o *observer) settled() error {
	defer o.close()
	for _, h := range o.held {
		if same, err := unchanged(h.file, h.before); err != nil || !same {
			return errors.Join(err, ErrUnsettled)
		}
	}
	return nil
}

func (o *observer) close() {
	for _, h := range o.held {
		h.file.Close()
	}
	o.held = o.held[:0]
}

func unchanged(f *os.File, before stamp) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	return stampOf(info) == before, nil
}
