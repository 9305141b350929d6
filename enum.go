package deadman

import "fmt"

// The vocabulary's enumerations are small integers whose zero value means
// "unset". They travel as their names (in JSON, YAML, the log and on the
// terminal), so a number may change between versions and a name may not.

// nameOf returns names[i], or a visible placeholder for a value out of range.
func nameOf[T ~uint8](kind string, names []string, i T) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s(%d)", kind, i)
}

// parseName sets *out to the value whose name is text. The empty text is the
// unset value.
func parseName[T ~uint8](kind string, names []string, text []byte, out *T) error {
	for i, name := range names {
		if name == string(text) {
			*out = T(i)
			return nil
		}
	}
	return fmt.Errorf("cannot read %s %q: not one of %q", kind, text, names[1:])
}
