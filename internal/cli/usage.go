package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is that the command was called wrongly.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

// Hint is what was probably meant, or where to read on.
func (e *usageError) Hint() string { return e.hint }

// wrong is the usageError of a command, with its own help as the hint.
func wrong(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), "see " + cmd.CommandPath() + " --help"}
}

// meant is the hint that begins with what was probably meant.
func meant(cmd *cobra.Command, word, prefix string, candidates []string) string {
	hint := cmd.CommandPath() + " --help"
	if best := nearest(word, candidates); best != "" {
		return fmt.Sprintf("did you mean %q? otherwise see %s", prefix+best, hint)
	}
	return "see " + hint
}

// noSuchCommand judges what stands where a command should.
func noSuchCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, cmd := range root.Commands() {
		if !cmd.Hidden {
			names = append(names, cmd.Name())
		}
	}
	return &usageError{fmt.Sprintf("cannot find command %q", args[0]), meant(root, args[0], "", names)}
}

// arity makes one sentence of everything that can be wrong with the number of
// arguments.
func arity(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		var said *usageError
		switch err := check(cmd, args); {
		case err == nil:
			return nil
		case errors.As(err, &said):
			return said
		}
		_, takes, _ := strings.Cut(cmd.Use, " ")
		if takes == "" {
			takes = "no argument"
		}
		return wrong(cmd, "cannot run %s so: it takes %s", cmd.CommandPath(), takes)
	}
}

// flagError rewords what the flag library says. The library's own causes speak
// of functions that a user has never heard of.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &unknown):
		var names []string
		for _, set := range []*pflag.FlagSet{cmd.Flags(), cmd.InheritedFlags()} {
			set.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		}
		name, flag := unknown.GetSpecifiedName(), "--"+unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			flag = "-" + name
		}
		return &usageError{fmt.Sprintf("cannot use %s: %s has no such flag", flag, cmd.CommandPath()), meant(cmd, name, "--", names)}
	case errors.As(err, &missing):
		f := missing.GetFlag()
		return wrong(cmd, "cannot use --%s without %s", f.Name, want(f))
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		return wrong(cmd, "cannot use %q for --%s: it takes %s", invalid.GetValue(), f.Name, want(f))
	case errors.As(err, &syntax):
		return wrong(cmd, "cannot read flag %q", syntax.GetSpecifiedFlag())
	}
	return wrong(cmd, "%v", err)
}

// want says what a flag takes.
func want(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int":
		return "a whole number"
	case "duration":
		return "a time such as 30s or 5m"
	case "bool":
		return "true or false"
	}
	name, _ := pflag.UnquoteUsage(f)
	return "a value (" + name + ")"
}

// nearest is the candidate that word was most likely meant to be, or "": one
// that it begins, or else one at most a third of its letters away.
func nearest(word string, candidates []string) string {
	if word == "" || len(word) > 32 {
		return ""
	}
	best, bestDistance := "", len(word)/3+1
	for _, c := range candidates {
		if strings.HasPrefix(c, word) {
			return c
		}
		if d := distance(word, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts the letters to add, drop, replace, or swap with their
// neighbour to make b of a.
func distance(a, b string) int {
	var before []int
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := slices.Clone(previous)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := previous[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, previous[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, previous = previous, row
	}
	return previous[len(b)]
}
