package sim

import (
	"math/rand/v2"
	"slices"
)

// Source makes choices: a number from lo to hi, both included.
type Source interface {
	Int(lo, hi int) int
}

// Seeded makes random choices and keeps them on a tape.
type Seeded struct {
	random *rand.Rand
	Tape   []int
}

// NewSeeded makes the same choices for the same seed.
func NewSeeded(seed uint64) *Seeded {
	return &Seeded{random: rand.New(rand.NewPCG(seed, 0x6465_6164_6d61_6e00))}
}

// Int makes a choice.
func (s *Seeded) Int(lo, hi int) int {
	n := s.random.IntN(hi - lo + 1)
	s.Tape = append(s.Tape, n)
	return lo + n
}

// Taped makes the choices of a tape; after its end, always the lowest, which is
// the tamest.
type Taped struct {
	tape []int
}

// NewTaped plays a tape.
func NewTaped(tape []int) *Taped { return &Taped{tape: tape} }

// Int makes the next choice.
func (t *Taped) Int(lo, hi int) int {
	if len(t.tape) == 0 {
		return lo
	}
	n := t.tape[0]
	t.tape = t.tape[1:]
	return lo + min(n, hi-lo)
}

// Shrink returns a shorter and tamer tape that still fails.
func Shrink(tape []int, fails func([]int) bool) []int {
	for better := true; better; {
		better = false
		try := func(other []int) {
			if fails(other) {
				tape, better = other, true
			}
		}
		for size := len(tape) / 2; size > 0; size /= 2 {
			for at := 0; at+size <= len(tape); {
				before := len(tape)
				try(slices.Delete(slices.Clone(tape), at, at+size))
				if len(tape) == before {
					at += size
				}
			}
		}
		for at := range tape {
			for _, n := range []int{0, tape[at] / 2, tape[at] - 1} {
				if n >= 0 && n < tape[at] {
					other := slices.Clone(tape)
					other[at] = n
					try(other)
				}
			}
		}
	}
	return tape
}

// pick chooses one of a list.
func pick[T any](s Source, list ...T) T { return list[s.Int(0, len(list)-1)] }

func flip(s Source) bool { return s.Int(0, 1) == 1 }
