package record

import "fmt"

// Place says where a commit came to rest, from the best to the worst.
type Place uint8

const (
	PlaceUnset Place = iota
	// InDatabase: all is well.
	InDatabase
	// InReserve: in the database, for the price of the reserve. The next one
	// may find no space.
	InReserve
	// InSpool: in the file beside the database, as durable, not in the log yet.
	InSpool
	// InRun: in the runtime directory, which a reboot empties.
	InRun
	// Nowhere: not saved.
	Nowhere
)

var placeNames = []string{"", "database", "reserve", "spool", "run", "none"}

func (p Place) String() string {
	if int(p) < len(placeNames) {
		return placeNames[p]
	}
	return fmt.Sprintf("place(%d)", uint8(p))
}

// MarshalText returns the name.
func (p Place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a name.
func (p *Place) UnmarshalText(text []byte) error {
	for i, name := range placeNames {
		if name == string(text) {
			*p = Place(i)
			return nil
		}
	}
	return fmt.Errorf("cannot read place %q: not one of %q", text, placeNames[1:])
}

// Degraded reports whether the commit did not simply reach the database.
func (p Place) Degraded() bool { return p != InDatabase }
