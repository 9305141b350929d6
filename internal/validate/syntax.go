package validate

import (
	"errors"

	"deadman/internal/document"
)

// Syntax parses each file as what its name says and returns one finding a
// file that does not, in the order of files.
func Syntax(files []File) []Finding {
	var out []Finding
	for _, f := range files {
		if f.Link {
			continue
		}
		_, err := document.Parse(f.Format, f.Bytes)
		if err == nil {
			continue
		}
		found := Finding{Kind: KindSyntax, File: f.Name, Message: "cannot parse"}
		var bad *document.SyntaxError
		if errors.As(err, &bad) {
			found.Line, found.Column, found.Message = bad.Line, bad.Column, "cannot parse: "+bad.Message
		}
		out = append(out, found)
	}
	return out
}
