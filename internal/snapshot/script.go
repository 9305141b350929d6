package snapshot

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// preamble is the part of restore.sh that is the same for all snapshots.
//
//go:embed restore.sh
var preamble string

// script returns restore.sh of a snapshot: a POSIX shell script that puts it
// back without deadman. It checks the stored bytes first and then restores
// directories, files, links and last the modes of directories. Files that
// another agent owns are left alone.
func script(m Manifest) []byte {
	var b strings.Builder
	call := func(function string, args ...string) {
		b.WriteString(function)
		for _, arg := range args {
			b.WriteString(" " + quote(arg))
		}
		b.WriteByte('\n')
	}
	owner := func(uid, gid int) string { return fmt.Sprintf("%d:%d", uid, gid) }
	mode := func(bits uint32) string { return fmt.Sprintf("%04o", bits) }

	roots := map[string]string{}
	for _, s := range m.Sets {
		roots[s.Label] = s.Root
	}
	var members []Member
	for _, member := range m.Members {
		if !member.Reads {
			members = append(members, member)
		}
	}
	// place is where a member goes: through a followed link, or its own path.
	place := func(member Member) string {
		if member.Followed != "" {
			return member.Followed
		}
		return filepath.Join(roots[member.Set], member.Path)
	}

	b.WriteString(preamble)
	fmt.Fprintf(&b, "\n# agent %q, snapshot %s\n", m.Agent, m.ID)
	files := 0
	for _, member := range members {
		if member.Type == File {
			files++
			call("check", member.Name(), member.SHA256)
		}
	}
	for _, r := range m.Roots {
		call("root", r.Path, mode(r.Mode), owner(r.UID, r.GID))
	}
	// Members are sorted, so a directory comes before what is in it.
	for _, member := range members {
		switch {
		case member.Type == File:
			call("file", member.Name(), place(member), mode(member.Mode), owner(member.UID, member.GID))
		case member.Type == Link:
			call("link", member.Target, place(member), owner(member.UID, member.GID))
		case member.Followed == "":
			call("dir", place(member), owner(member.UID, member.GID))
		}
		if member.Type == File && member.Followed != "" && member.Target != "" {
			call("linked", member.Target, filepath.Join(roots[member.Set], member.Path))
		}
		for _, name := range slices.Sorted(maps.Keys(member.Xattrs)) {
			if member.Type == File || member.Followed == "" {
				call("xattr", place(member), name, hex.EncodeToString(member.Xattrs[name]))
			}
		}
	}
	for _, member := range slices.Backward(members) {
		if member.Type == Dir && member.Followed == "" {
			call("mode", place(member), mode(member.Mode))
		}
	}
	call("done_with", fmt.Sprint(files))
	return []byte(b.String())
}

// quote returns s as one word of a shell, whatever bytes it has.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
