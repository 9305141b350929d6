package cli

// The rules of what is printed:
//
//   - Results go to stdout, everything else to stderr.
//   - Messages are lower case and have no full stop at the end.
//   - An error is one line, `deadman: error: cannot …`; what to do about it is
//     a line of its own, `deadman: hint: …`. A note is `deadman: …`.
//   - No value of a config is ever printed, but by `diff --text`, and where a
//     person at a terminal is shown the line of deadman.yaml that is wrong.
//   - --json prints the objects of package api and nothing else to stdout, one
//     object or list a line.
//   - `check` that exits 0 prints nothing to stdout unless that is a terminal
//     or -v is given, so that mail from cron means something. What is new is a
//     line on stderr, once, whatever the exit.
//   - What fits does so in 80 columns. Times are the reader's local time; in
//     JSON they are RFC 3339.
//   - Names, keys and output are an agent's words: what a terminal would obey in
//     them, and a line break, is shown (plain) and never sent. JSON has its own
//     escapes.
//   - A result that could not be written is no result: the exit is at least 1.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"deadman/internal/config"
)

// terminal is what a command prints to.
type terminal struct {
	out, err io.Writer
	// given is what a command that is printed needs more to act on the same
	// config: " --config FILE" if that was given, else "".
	given string
}

// command is a command line of ours that can be pasted as it is.
func (t *terminal) command(line string) string {
	if line == "" {
		return ""
	}
	return line + t.given
}

var quotedCommand = regexp.MustCompile("`deadman [^`]*")

// commands completes each command that stands in backquotes in a text.
func (t *terminal) commands(text string) string {
	if t.given == "" {
		return text
	}
	return quotedCommand.ReplaceAllStringFunc(text, t.command)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shellWord is a word as a POSIX shell reads it.
func shellWord(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// output is a writer that remembers its first failure, and writes no more then.
type output struct {
	io.Writer
	failed error
}

func (o *output) Write(p []byte) (int, error) {
	if o.failed != nil {
		return 0, o.failed
	}
	n, err := o.Writer.Write(p)
	o.failed = err
	return n, err
}

// raw is what w writes to.
func raw(w io.Writer) io.Writer {
	if o, ok := w.(*output); ok {
		return o.Writer
	}
	return w
}

// interactive reports whether w is a terminal, or as good as one.
func interactive(w io.Writer) bool {
	f, ok := raw(w).(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// printf prints to stdout. What is no number is made plain: the format alone
// says where a line ends.
func (t *terminal) printf(format string, args ...any) {
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = plain(arg)
		case fmt.Stringer:
			args[i] = plain(arg.String())
		case error:
			args[i] = plain(arg.Error())
		}
	}
	fmt.Fprintf(t.out, format, args...)
}

// warn prints a line for a person to stderr.
func (t *terminal) warn(line string) { fmt.Fprintf(t.err, "deadman: %s\n", plain(line)) }

// fail prints an error and its hint.
func (t *terminal) fail(err error) {
	for _, text := range sentences(err) {
		fmt.Fprintf(t.err, "deadman: error: %s\n", plain(text))
	}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		t.hint(hinted.Hint())
	}
}

func (t *terminal) hint(text string) {
	if text != "" {
		fmt.Fprintf(t.err, "deadman: hint: %s\n", plain(t.commands(text)))
	}
}

// sentences are the errors that were joined in err, or err alone.
func sentences(err error) []string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []string{err.Error()}
	}
	var all []string
	for _, one := range joined.Unwrap() {
		all = append(all, sentences(one)...)
	}
	return all
}

// plain is text in one line in which a terminal finds nothing to obey: what is
// not printable stands there as Go writes it in a string (\n, \x1b, \u202e).
func plain(text string) string { return escaped(text, "") }

// plainLines is visible for text of several lines; tabs are left as well.
func plainLines(text string) string { return escaped(text, "\n\t") }

func escaped(text, but string) string {
	var out strings.Builder
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, text[i])
		case strconv.IsPrint(r), strings.ContainsRune(but, r):
			out.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return out.String()
}

// problems prints what is wrong in a config, each with its place, and returns a
// *badConfig if there is anything. The lines themselves may hold values, so
// they are for a terminal and not for a log.
func (t *terminal) problems(problems config.Problems) error {
	for _, e := range problems {
		fmt.Fprintf(t.err, "deadman: error: %s\n", plain(e.Error()))
		if excerpt := e.Excerpt(); excerpt != "" && interactive(t.err) {
			fmt.Fprintln(t.err, plainLines(excerpt))
		}
		t.hint(e.Hint())
	}
	if len(problems) == 0 {
		return nil
	}
	return &badConfig{len(problems)}
}

// json prints one value on one line.
func (t *terminal) json(v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("cannot print the answer: %v", err)
	}
	_, _ = t.out.Write(text.Bytes())
	return nil
}

// list is all of a slice for JSON, where an empty one is a list and not null.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

// table prints rows with columns as wide as they need to be.
func (t *terminal) table(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			row[i] = plain(cell)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
		}
		t.printf("%s\n", strings.TrimRight(line.String(), " "))
	}
}

// width is what lines on a terminal are folded to. In a file or a pipe a line
// stays one, for grep.
const width = 80

// line prints a line of words to w.
func (t *terminal) line(w io.Writer, format string, args ...any) {
	text := plain(t.commands(fmt.Sprintf(format, args...)))
	if interactive(w) {
		text = fold(text, width)
	}
	fmt.Fprintln(w, text)
}

// fold breaks a line between words where it is longer than width; what follows
// is indented. A word that is longer than that stays whole.
func fold(line string, width int) string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	var out strings.Builder
	out.WriteString(indent)
	column, first := len(indent), true
	for word := range strings.FieldsSeq(line) {
		n := utf8.RuneCountInString(word)
		switch {
		case first:
		case column+1+n > width:
			out.WriteString("\n" + indent + "    ")
			column = len(indent) + 4
		default:
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column, first = column+n, false
	}
	return out.String()
}

// clockTime is a time for a person: today's without the date.
func clockTime(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	at, now = at.Local(), now.Local()
	if at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format("15:04:05")
	}
	return at.Format("2006-01-02 15:04")
}

// since is how long ago something was, in at most six characters.
func since(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return brief(max(0, now.Sub(at)))
}

// brief is a duration for a person.
func brief(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
