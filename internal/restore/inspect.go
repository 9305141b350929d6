package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"deadman/internal/snapshot"
)

// Inspect looks whether p has been carried out, and changes nothing. pending
// names the members that are not as p wants them, or still have a file under
// its temporary name.
func Inspect(p *Plan) (done bool, pending []string, err error) {
	t := newTops(p)
	defer t.close()
	return p.inspect(t)
}

func (p *Plan) inspect(t *tops) (done bool, pending []string, err error) {
	for _, s := range p.Steps {
		ok, err := s.done(t)
		if err != nil {
			return false, nil, fmt.Errorf("cannot inspect %s: %w", s.Name(), err)
		}
		if !ok && !slices.Contains(pending, s.Name()) {
			pending = append(pending, s.Name())
		}
	}
	return len(pending) == 0, pending, nil
}

// done reports whether step s finds nothing to do.
func (s Step) done(t *tops) (bool, error) {
	d, base, whole, err := t.descend(s.Dir, s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return s.Want == nil, nil // the root is yet to be made
	}
	if err != nil {
		return false, err
	}
	defer d.close()
	if !whole {
		return s.Want == nil, nil
	}
	if s.Temp != "" {
		for _, name := range []string{s.Temp, s.Temp + draft, s.Temp + aside} {
			if _, err := d.root.Lstat(name); err == nil {
				return false, nil
			}
		}
	}
	is, err := d.look(base, sizes(s.Want, s.Have))
	if err != nil {
		return false, err
	}
	switch s.Op {
	case OpMkdir:
		return is.Type == snapshot.Dir, nil
	case OpRmdir:
		return true, nil // one that is not empty stays
	case OpRemove:
		// What Keep took is gone; something else there is another step's, or is
		// found when everything is read back.
		return is.Type == none || !sameBytes(is.Member, *s.Have), nil
	}
	return sameMember(is.Member, *s.Want), nil
}

func (p *Plan) wanted() iter.Seq[snapshot.Member] {
	return func(yield func(snapshot.Member) bool) {
		for _, s := range p.Steps {
			if s.Want != nil && !yield(*s.Want) {
				return
			}
		}
	}
}

// readBack compares everything that was put back with the plan: each member
// where it is, and then the set as a whole as the next capture will see it,
// which also finds what has been added.
func (p *Plan) readBack(ctx context.Context, t *tops) error {
	_, wrong, err := p.inspect(t)
	if err != nil {
		return err
	}
	want := map[string]*snapshot.Member{}
	for _, s := range p.Steps {
		if s.Want == nil || s.Want.Type == snapshot.Dir {
			continue
		}
		if old := want[s.Name()]; old == nil || s.Through {
			want[s.Name()] = s.Want
		}
	}
	look, err := snapshot.ObserveGone(ctx, p.Sets, limits(p.wanted()))
	if err != nil {
		return fmt.Errorf("cannot confirm what was put back: %w", err)
	}
	seen := map[string]bool{}
	for _, m := range look.Members {
		if m.Type == snapshot.Dir || !touchable(p.Sets, m) || !touchable(p.Was, m) {
			continue
		}
		if want[m.Name()] == nil && p.leftAt(m.Name()) != 0 {
			continue // in nobody's way
		}
		seen[m.Name()] = true
		if w := want[m.Name()]; w == nil || !sameMember(m, *w) {
			wrong = append(wrong, m.Name())
		}
	}
	for name := range want {
		if !seen[name] {
			wrong = append(wrong, name)
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return &MismatchError{Names: slices.Compact(wrong)}
	}
	return nil
}
