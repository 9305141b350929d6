// Package document reads the config formats that agents use, and answers four questions about them:
// does it parse (Parse), which keys are there (TopLevel, Scalars), which keys differ (Changes), and is
// it the same document once a few keys are left out of account (Identity). It also carries single
// values from one version of a file to another without disturbing the rest of the bytes (Splice).
//
// It is a leaf: bytes in, values out. It opens nothing, knows no clock, and never looks at a file's
// content to find out what it is; the name says that (FormatOf), and a file that is not what its name
// says is a broken file.
//
// # What it promises
//
// Strictness. The question behind Parse is "would a program start on this?", asked before it is too
// late. A key given twice is an error in every format, even where some readers take the last one: the
// next reader, or the next release of the same one, dies of it (openai/codex#13464).
//
// Silence. Configs hold secrets. No error, change or path made here contains a value. Messages of the
// parsers underneath that would quote the file are reworded; a SyntaxError does not even name keys,
// because in a broken file a piece of a secret can sit where a key belongs.
//
// Types. A decoded scalar keeps its type and its text: the string "1" is not the number 1, 1.0 is not 1,
// an integer above 2^53 is exact, and in YAML a plain yes is not "yes", because readers disagree about
// the former (sshd's `yes` instead of `'yes'`, incident 72). A difference too many costs a line in a
// report; a difference too few restores the wrong file.
//
// No guessing. Splice works by byte span, so comments, order and quoting of the target stay. Before it
// returns, it parses what it made and compares that with the target plus exactly the wanted keys. Where
// a span is in doubt (anchors, aliases, tags, plain scalars over several lines, a NEL in the text) or the
// comparison fails, it refuses with ErrSplice, and the caller writes the target as it is.
//
// # Paths
//
// A path names a value by its keys: `gateway.auth.token`, `agents.list[3].model`. A key that holds a
// dot, a bracket, a quote, a '#' or white space is written as a Go string: `hosts."example.org".port`.
// Where a YAML stream holds several documents it reads as a list of them: `[1].kind`.
//
// # What it leaves out
//
// YAML merge keys are not applied: `<<` is a key like any other, so a merged-in key is not found by its
// path, and a change in the merged mapping shows where it stands in the text. Opaque files are bytes.
package document
