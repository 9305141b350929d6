package canonical

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Type is what a file in a tree is.
type Type string

const (
	Regular Type = "file"
	Link    Type = "link"
)

// File is one file or link of a commit.
type File struct {
	// Path is relative to the directory that was read, slash separated.
	Path string
	Type Type
	// Executable is all that git knows of a mode.
	Executable bool
	// Bytes are those of the file as git stores it (no filter has been at it), or
	// the text of the link.
	Bytes []byte
}

// Tree is what a commit has in a directory.
type Tree struct {
	Commit string // its full name
	Files  []File // sorted by path
}

// Limits bound what is read.
type Limits struct {
	File  int64 // bytes in one file
	Set   int64 // bytes in all
	Files int
}

// listMax bounds the list of names that is looked through.
const listMax = 32 << 20

// Read returns the files that ref has beneath dir, of those that want asks for.
// dir is relative to the top of the repository, "" the top itself. A file beyond
// the limits is an error, and so is a dir that is not there; submodules are passed
// by. The error is an [*Error], or that of ctx.
func (r Repo) Read(ctx context.Context, ref, dir string, want func(path string) bool, limits Limits) (Tree, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	tree, err := r.read(ctx, ref, dir, want, limits)
	var told *Error
	switch {
	case err == nil:
		return tree, nil
	case errors.As(err, &told):
		return Tree{}, err
	}
	what := fmt.Sprintf("cannot read %s of %s", ref, r.Path)
	if dir != "" {
		what = fmt.Sprintf("cannot read %s in %s of %s", dir, ref, r.Path)
	}
	return Tree{}, &Error{What: what, Said: err.Error(), hint: fmt.Sprintf("git -C %s ls-tree %s:%s shows what is there", r.Path, ref, dir)}
}

func (r Repo) read(ctx context.Context, ref, dir string, want func(path string) bool, limits Limits) (Tree, error) {
	commit, err := r.commit(ctx, ref)
	if err != nil {
		return Tree{}, err
	}
	list, err := r.run(ctx, nil, listMax, r.environ(ours), "ls-tree", "-r", "-z", "-l", "--full-tree", commit+":"+strings.Trim(dir, "/"))
	if err != nil {
		return Tree{}, err
	}
	entries, err := pick(list, want, limits)
	if err != nil {
		return Tree{}, err
	}
	files, err := r.blobs(ctx, entries)
	if err != nil {
		return Tree{}, err
	}
	return Tree{Commit: commit, Files: files}, nil
}

// commit is the full name of what ref names.
func (r Repo) commit(ctx context.Context, ref string) (string, error) {
	out, err := r.run(ctx, nil, 1<<10, r.environ(ours), "rev-parse", "--verify", "--end-of-options", ref+"^{commit}")
	name := strings.TrimSpace(string(out))
	if err == nil && strings.Trim(name, "0123456789abcdef") != "" || err == nil && len(name) < 40 {
		err = errors.New("git did not name a commit")
	}
	return name, err
}

// entry is a line of ls-tree -l.
type entry struct {
	file   File
	object string
	size   int64
}

// pick finds in the list what is wanted, and refuses what is too much.
func pick(list []byte, want func(string) bool, limits Limits) ([]entry, error) {
	var entries []entry
	var total int64
	for line := range bytes.SplitSeq(list, []byte{0}) {
		if len(line) == 0 {
			continue
		}
		about, name, _ := strings.Cut(string(line), "\t")
		fields := strings.Fields(about)
		if len(fields) != 4 {
			return nil, errors.New("git lists its files in a form that is not known")
		}
		if fields[1] != "blob" || !proper(name) || !want(name) {
			continue
		}
		e := entry{file: File{Path: name, Type: Regular, Executable: fields[0] == "100755"}, object: fields[2]}
		if fields[0] == "120000" {
			e.file.Type = Link
		}
		var err error
		if e.size, err = strconv.ParseInt(fields[3], 10, 64); err != nil {
			return nil, fmt.Errorf("%s is not there: the repository is not whole", name)
		}
		switch total += e.size; {
		case e.size > limits.File:
			return nil, fmt.Errorf("%s is bigger than the limit for one file", name)
		case total > limits.Set:
			return nil, fmt.Errorf("with %s it is bigger than the limit for a set", name)
		case len(entries) >= limits.Files:
			return nil, errors.New("there are more files than the limit")
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// proper reports whether a name that a tree has is a path beneath it; git itself
// makes no other, but whoever owns the repository could.
func proper(name string) bool {
	return name != "" && path.Clean(name) == name && !path.IsAbs(name) && name != "." && name != ".." && !strings.HasPrefix(name, "../")
}

// blobs reads the objects of entries with one git.
func (r Repo) blobs(ctx context.Context, entries []entry) ([]File, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	var ask strings.Builder
	limit := int64(0)
	for _, e := range entries {
		ask.WriteString(e.object + "\n")
		limit += e.size + 128 // its line is shorter than that
	}
	out, err := r.run(ctx, strings.NewReader(ask.String()), limit, r.environ(ours), "cat-file", "--batch")
	if err != nil {
		return nil, err
	}
	files := make([]File, len(entries))
	for i, e := range entries {
		line, rest, _ := bytes.Cut(out, []byte("\n"))
		if string(line) != fmt.Sprintf("%s blob %d", e.object, e.size) || int64(len(rest)) < e.size+1 {
			return nil, fmt.Errorf("%s is not there: the repository is not whole", e.file.Path)
		}
		files[i] = e.file
		files[i].Bytes, out = rest[:e.size:e.size], rest[e.size+1:]
	}
	return files, nil
}
