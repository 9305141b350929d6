package snapshot

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// Type is what a member is.
type Type string

const (
	File Type = "file"
	Dir  Type = "dir"
	Link Type = "link"
)

// Member is one file, directory or link of a capture. Directories are the
// parents, below the root, of what the patterns matched; a directory is never
// a member for its own sake.
type Member struct {
	// Set is the label of the set the member belongs to.
	Set string
	// Path is relative to the set's root and slash separated, without empty,
	// "." or ".." elements. It may be any bytes that a file name may be.
	Path string
	Type Type
	// Mode holds the permission bits with setuid, setgid and sticky, as the
	// kernel does (0 to 07777).
	Mode     uint32
	UID, GID int
	// Size is in bytes; of a link, the length of its text; of a directory, 0.
	Size int64
	// SHA256 is the hex digest of a file's bytes or of a link's text, and ""
	// for a directory.
	SHA256 string
	// Target is the text of the link, for a Link, and for a File whose Followed
	// is set because it is itself a link.
	Target string
	// Followed is the absolute path of the file that was read in place of
	// Path, when a link that Follow allows leads there; Type, Mode, owner and
	// Size are then those of that file. The link may be Path itself (Target is
	// set) or a directory above it (Target is ""). Restore writes to Followed
	// and leaves the link alone.
	Followed string
	// Xattrs are the extended attributes that a restore puts back: user.*,
	// POSIX ACLs and file capabilities. They are not part of any hash.
	Xattrs map[string][]byte
	// Reads marks a file of another agent: compared, never restored.
	Reads bool
	// Inode, Device and CTime (of the inode) are evidence of when and how the
	// member came to be; they are not part of any hash.
	Inode, Device uint64
	CTime         time.Time
}

// Name is the member's name among all members of its agent, and its path below
// files/ in the store: the label, if there is one, and the path.
func (m Member) Name() string {
	if m.Set == "" {
		return m.Path
	}
	return m.Set + "/" + m.Path
}

// maxPath is PATH_MAX, which the kernel imposes on what can be named at once.
const maxPath = 4096

// validPath is fs.ValidPath for names that need not be UTF-8.
func validPath(path string) bool {
	if path == "" || len(path) > maxPath || strings.ContainsRune(path, 0) {
		return false
	}
	for element := range strings.SplitSeq(path, "/") {
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return true
}

// memberJSON is the form of a Member in a manifest.
type memberJSON struct {
	Set      text              `json:"set,omitzero"`
	Path     text              `json:"path"`
	Type     Type              `json:"type"`
	Mode     uint32            `json:"mode"`
	UID      int               `json:"uid"`
	GID      int               `json:"gid"`
	Size     int64             `json:"size"`
	SHA256   string            `json:"sha256,omitempty"`
	Target   text              `json:"target,omitzero"`
	Followed text              `json:"followed,omitzero"`
	Xattrs   map[string][]byte `json:"xattrs,omitempty"`
	Reads    bool              `json:"reads,omitempty"`
	Inode    uint64            `json:"inode"`
	Device   uint64            `json:"device"`
	CTime    time.Time         `json:"ctime"`
}

func (m Member) MarshalJSON() ([]byte, error) {
	return json.Marshal(memberJSON{
		text(m.Set), text(m.Path), m.Type, m.Mode, m.UID, m.GID, m.Size, m.SHA256,
		text(m.Target), text(m.Followed), m.Xattrs, m.Reads, m.Inode, m.Device, m.CTime,
	})
}

func (m *Member) UnmarshalJSON(b []byte) error {
	var j memberJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*m = Member{
		string(j.Set), string(j.Path), j.Type, j.Mode, j.UID, j.GID, j.Size, j.SHA256,
		string(j.Target), string(j.Followed), j.Xattrs, j.Reads, j.Inode, j.Device, j.CTime,
	}
	return nil
}

// text is a string that survives JSON even when it is not UTF-8, as a file
// name need not be: then it is the object {"base64": "…"} in place of a string.
type text string

type encoded struct {
	Base64 []byte `json:"base64"`
}

func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(encoded{[]byte(t)})
}

func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var e encoded
		err := json.Unmarshal(b, &e)
		*t = text(e.Base64)
		return err
	}
	return json.Unmarshal(b, (*string)(t))
}
