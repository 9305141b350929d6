package validate

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"deadman/internal/document"
)

// shrinkFloor is the size in bytes of the known good below which a loss of
// size says nothing: in a file of 40 bytes one edited value is half of it.
const shrinkFloor = 64

// Guards returns what makes candidate look ruined although it may load
// (DESIGN section 3, rule 4), by file in the order of candidate, then files
// that only knownGood has. knownGood nil means that there is none; then only
// what a file shows by itself is judged.
//
// Within a file:
//
//   - nothing in it, or white space only (incident 22), unless the known good
//     has it empty too, or there is no known good of it and the format is env
//     or opaque, where an empty file is an everyday thing;
//   - NUL bytes: any in a text format; in an opaque file, which may be binary,
//     if it is all NULs or the known good has none;
//   - half the known good's size or less (incidents 15, 25, 26), if that was
//     at least 64 bytes;
//   - a top-level key of the known good gone (incident 30), one finding a key;
//   - a redaction placeholder as a value (incidents 33, 34);
//   - a key given twice, where Syntax lets that pass.
//
// An empty file is reported as that alone.
func Guards(candidate, knownGood []File) []Finding {
	var out []Finding
	for _, f := range candidate {
		if f.Link {
			continue
		}
		out = append(out, guard(f, find(knownGood, f.Name))...)
	}
	for _, known := range knownGood {
		if !slices.ContainsFunc(candidate, func(f File) bool { return f.Name == known.Name }) {
			out = append(out, Finding{Kind: KindMissing, File: known.Name, Message: "the file is gone since the known good"})
		}
	}
	return out
}

// find returns the file of that name, nil if there is none that was read.
func find(files []File, name string) *File {
	i := slices.IndexFunc(files, func(f File) bool { return f.Name == name && !f.Link })
	if i < 0 {
		return nil
	}
	return &files[i]
}

// guard judges one file; known is nil where there is nothing to compare with.
func guard(f File, known *File) (out []Finding) {
	report := func(k Kind, key, format string, args ...any) {
		out = append(out, Finding{Kind: k, File: f.Name, Key: key, Message: fmt.Sprintf(format, args...)})
	}
	if empty(f) {
		mayBe := known == nil && (f.Format == document.Env || f.Format == document.Opaque)
		if !mayBe && (known == nil || !empty(*known)) {
			report(KindEmptyFile, "", "the file is empty (%d bytes)", len(f.Bytes))
		}
		return out
	}
	if nuls := bytes.Count(f.Bytes, []byte{0}); nuls > 0 {
		knownText := known != nil && len(known.Bytes) > 0 && !bytes.Contains(known.Bytes, []byte{0})
		if f.Format != document.Opaque || nuls == len(f.Bytes) || knownText {
			report(KindNULBytes, "", "%d of %d bytes are NUL", nuls, len(f.Bytes))
		}
	}
	if known != nil {
		if was, is := len(known.Bytes), len(f.Bytes); was >= shrinkFloor && is*2 <= was {
			report(KindShrank, "", "the file shrank to half or less of the known good, from %d to %d bytes", was, is)
		}
		for _, key := range lostKeys(f, *known) {
			report(KindKeysLost, key, "the key is gone since the known good")
		}
	}
	var bad *document.SyntaxError
	if _, err := document.Parse(f.Format, f.Bytes); errors.As(err, &bad) && toleratedDuplicate(f.Format, bad) {
		out = append(out, Finding{Kind: KindDuplicateKey, File: f.Name, Line: bad.Line, Column: bad.Column, Message: bad.Message})
	}
	return append(out, placeholders(f)...)
}

func empty(f File) bool { return len(bytes.TrimSpace(f.Bytes)) == 0 }

// lostKeys returns the top-level keys that known has and f has not. Where one
// of them does not parse, or has no keys to speak of, it is silent: a file of
// another shape is for Syntax, or for the agent, to judge.
func lostKeys(f, known File) (lost []string) {
	is, err := document.Parse(f.Format, f.Bytes)
	was, errWas := document.Parse(known.Format, known.Bytes)
	if err != nil || errWas != nil {
		return nil
	}
	have := is.TopLevel()
	for _, key := range was.TopLevel() {
		if _, ok := slices.BinarySearch(have, key); !ok {
			lost = append(lost, key)
		}
	}
	return lost
}
