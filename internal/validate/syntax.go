package validate

import (
	"errors"

	"deadman/internal/document"
)

// Syntax parses each file as what its name says and returns one finding a
// file that does not, in the order of files. A key given twice is for Guards
// to object to where the format's readers are known to accept it.
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
			if toleratedDuplicate(f.Format, bad) {
				continue
			}
			found.Line, found.Column, found.Message = bad.Line, bad.Column, "cannot parse: "+bad.Message
		}
		out = append(out, found)
	}
	return out
}

// toleratedDuplicate reports whether err is only a key given twice, in a format
// whose usual readers take the last one.
func toleratedDuplicate(f document.Format, err *document.SyntaxError) bool {
	return err.Duplicate && (f == document.JSON || f == document.JSON5 || f == document.Env)
}
