package document

import (
	"fmt"
	"strings"
)

// Key is one `preserve` key: a value in a file of the config set. It travels
// as the text "config.yaml#onboarding.seen".
type Key struct {
	// File is the member's name in the set, slash-separated. It holds no '#'.
	File string
	// Path is the key's path within the file.
	Path string
}

// ParseKey reads "file#path". It checks the form of both halves, not whether
// the file's format can be spliced (CanSplice).
func ParseKey(s string) (Key, error) {
	file, path, ok := strings.Cut(s, "#")
	if !ok || file == "" {
		return Key{}, fmt.Errorf("cannot read key %q: it is not of the form file#path", s)
	}
	if err := ValidPath(path); err != nil {
		return Key{}, fmt.Errorf("cannot read key %q: %v", s, err)
	}
	return Key{File: file, Path: path}, nil
}

func (k Key) String() string { return k.File + "#" + k.Path }

// MarshalText returns the text that ParseKey reads.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is ParseKey.
func (k *Key) UnmarshalText(text []byte) error {
	parsed, err := ParseKey(string(text))
	if err == nil {
		*k = parsed
	}
	return err
}
