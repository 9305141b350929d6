package rival

import (
	"encoding/json"
	"path"
	"strings"

	"deadman/internal/lazy"
)

// schedules looks through what the agents run by themselves. Hermes and OpenClaw
// both keep their jobs in cron/jobs.json of their home: Hermes with a script, a
// command or a prompt, OpenClaw with a payload.
func (x *scan) schedules() {
	for _, a := range x.agents {
		if a.Preset != "hermes" && a.Preset != "openclaw" || a.home() == "" {
			continue
		}
		f, err := x.host.read(path.Join(a.home(), "cron/jobs.json"))
		if err != nil {
			continue
		}
		var table struct {
			Jobs []struct {
				ID      string `json:"id"`
				Name    string `json:"name"`
				Enabled *bool  `json:"enabled"`
				Script  string `json:"script"`
				Command string `json:"command"`
				Prompt  string `json:"prompt"`
				Payload struct {
					Message string `json:"message"`
					Text    string `json:"text"`
				} `json:"payload"`
			} `json:"jobs"`
		}
		if json.Unmarshal([]byte(f.text), &table) != nil {
			continue
		}
		for _, job := range table.Jobs {
			if job.Enabled != nil && !*job.Enabled {
				continue
			}
			s := x.scope("")
			for _, u := range x.homes() {
				if within(u.home, a.home()) {
					s = x.scope(u.name)
				}
			}
			s.vars["HERMES_HOME"], s.vars["OPENCLAW_STATE_DIR"] = []string{a.home()}, []string{a.home()}
			v := x.judged(s, func(j *judge) {
				if job.Script != "" {
					script := job.Script
					if !path.IsAbs(script) {
						script = path.Join(a.home(), "scripts", script)
					}
					how := "sh"
					if path.Ext(script) == ".py" {
						how = "python"
					}
					j.follow(script, nil, s, how)
				}
				if job.Command != "" {
					j.shell(job.Command, s)
				}
				// A prompt is done by a model: what stands in it as code, it will run.
				guess := *s
				guess.guess = true
				for _, m := range codeSpan().FindAllStringSubmatch(job.Prompt+"\n"+job.Payload.Message+"\n"+job.Payload.Text, -1) {
					j.inner(m[1]+m[2], &guess)
				}
			})
			line := 1
			if i := strings.Index(f.text, `"`+job.ID+`"`); i >= 0 && job.ID != "" {
				line += strings.Count(f.text[:i], "\n")
			}
			hint := "the agent itself runs it: " + map[string]string{"hermes": "hermes cron pause ", "openclaw": "openclaw cron disable "}[a.Preset] + job.ID
			x.found(v, Rival{Form: OwnSchedule, Path: f.path, Line: line, sum: f.sum, name: job.ID, Hint: hint})
		}
	}
}

var codeSpan = lazy.Regexp("(?s)```(?:\\w+\n)?(.+?)```|`([^`\n]+)`")
