package rival

import (
	"encoding/xml"
	"errors"
	"io"
	"path"
	"strings"
)

// plist is a property list of launchd, as far as it says what is run.
type plist struct {
	path, sum string
	user      string
	label     string
	argv      []string
	vars      map[string]string
	dir       string
	disabled  bool
}

// plists are all property lists of jobs. One that is not XML cannot be read.
func (x *scan) plists() []plist {
	type place struct{ dir, user string }
	places := []place{{"/Library/LaunchDaemons", "root"}, {"/Library/LaunchAgents", ""}}
	for _, u := range x.homes() {
		places = append(places, place{path.Join(u.home, "Library/LaunchAgents"), u.name})
	}
	var all []plist
	for _, at := range places {
		for _, p := range x.glob(at.dir, "*.plist") {
			f, err := x.host.read(p)
			if err != nil {
				continue
			}
			values, err := parsePlist(f.text)
			if err != nil {
				continue
			}
			one := plist{path: p, sum: f.sum, user: at.user, vars: map[string]string{}}
			one.label, _ = values["Label"].(string)
			one.disabled, _ = values["Disabled"].(bool)
			one.dir, _ = values["WorkingDirectory"].(string)
			if user, ok := values["UserName"].(string); ok {
				one.user = user
			}
			if list, ok := values["ProgramArguments"].([]any); ok {
				for _, v := range list {
					word, _ := v.(string)
					one.argv = append(one.argv, word)
				}
			}
			if program, ok := values["Program"].(string); ok {
				if len(one.argv) == 0 {
					one.argv = []string{program}
				}
				one.argv[0] = program
			}
			if environ, ok := values["EnvironmentVariables"].(map[string]any); ok {
				for k, v := range environ {
					one.vars[k], _ = v.(string)
				}
			}
			all = append(all, one)
		}
	}
	return all
}

// propertyLists looks through launchd's jobs.
func (x *scan) propertyLists() {
	for _, p := range x.plists() {
		owns := false
		for _, a := range x.agents {
			owns = owns || a.Label != "" && a.Label == p.label
		}
		if owns || len(p.argv) == 0 {
			continue
		}
		s := x.scope(p.user)
		for k, v := range p.vars {
			s.vars[k] = []string{v}
		}
		if p.dir != "" {
			s.dir = p.dir
		}
		v := x.judged(s, func(j *judge) { j.command(p.argv, s) })
		if p.disabled {
			v = v.atMost(Possible)
		}
		x.found(v, Rival{Form: Launchd, Path: p.path, Line: 1, sum: p.sum, name: p.label, User: p.user})
	}
}

// parsePlist reads an XML property list (plist(5)) whose root is a dictionary.
func parsePlist(text string) (map[string]any, error) {
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict = true
	for {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		if start, ok := t.(xml.StartElement); ok && start.Name.Local != "plist" {
			v, err := plistValue(d, start, 0)
			if err != nil {
				return nil, err
			}
			if dict, ok := v.(map[string]any); ok {
				return dict, nil
			}
			return nil, errors.New("not a dictionary")
		}
	}
}

func plistValue(d *xml.Decoder, start xml.StartElement, depth int) (any, error) {
	if depth > 20 {
		return nil, errors.New("too deep")
	}
	dict, list, key := map[string]any{}, []any{}, ""
	var text strings.Builder
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.CharData:
			text.Write(t)
		case xml.StartElement:
			v, err := plistValue(d, t, depth+1)
			if err != nil {
				return nil, err
			}
			if t.Name.Local == "key" {
				key, _ = v.(string)
			} else {
				dict[key] = v
				list = append(list, v)
			}
		case xml.EndElement:
			switch start.Name.Local {
			case "dict":
				return dict, nil
			case "array":
				return list, nil
			case "true", "false":
				return start.Name.Local == "true", nil
			}
			return text.String(), nil
		}
	}
}
