package validate

import (
	"fmt"

	"deadman/internal/document"
)

// File is one member of a config set.
type File struct {
	// Name is the member's path in the set, slash-separated.
	Name   string
	Format document.Format
	Bytes  []byte
	// Link: the member was captured as a link, and Bytes, if any, are no
	// content. Links are not judged.
	Link bool
}

// Kind is what is the matter. Closed list; the zero value is unset.
type Kind string

const (
	// KindSyntax: the file is not what its name says.
	KindSyntax Kind = "syntax"
	// KindCommandRefused: the user's validator ran and said no.
	KindCommandRefused Kind = "command-refused"
	// KindCommandUnknown: the user's validator gave no verdict. Cannot tell.
	KindCommandUnknown Kind = "command-unknown"
	// KindPlaceholder: a value is what a redaction leaves behind.
	KindPlaceholder Kind = "placeholder"
	// KindNULBytes: the file holds NUL bytes where text belongs.
	KindNULBytes Kind = "nul-bytes"
	// KindEmptyFile: there is nothing in the file.
	KindEmptyFile Kind = "empty-file"
	// KindShrank: the file is half the known good's size or less.
	KindShrank Kind = "shrank"
	// KindKeysLost: a top-level key of the known good is gone.
	KindKeysLost Kind = "keys-lost"
	// KindDuplicateKey: a key is given twice.
	KindDuplicateKey Kind = "duplicate-key"
	// KindMissing: a file of the known good is gone.
	KindMissing Kind = "missing"
)

// Finding is one thing that speaks against a config set.
type Finding struct {
	Kind Kind `json:"kind"`
	// File is the member's name; empty for the validator's verdict, which is
	// about the set.
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0 is unknown.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Key is the key path that is meant, if one is.
	Key string `json:"key,omitempty"`
	// Message is lower case, without file and position, and without any value.
	Message string `json:"message"`
}

// String is the finding on one line, e.g.
// "config.yaml:3:5: api.key: the value is a redaction placeholder".
func (f Finding) String() string {
	where := f.File
	if f.Line > 0 {
		where += fmt.Sprintf(":%d", f.Line)
		if f.Column > 0 {
			where += fmt.Sprintf(":%d", f.Column)
		}
	}
	if where != "" {
		where += ": "
	}
	if f.Key != "" {
		where += f.Key + ": "
	}
	return where + f.Message
}
