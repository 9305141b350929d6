package config

import (
	"path"
	"slices"
	"strings"

	"deadman"
)

// build makes an agent of a value in which nothing is wrong.
func build(name string, v *value) Agent {
	a := Agent{
		Name: name, File: v.at.src.file, Line: v.at.line,
		Preset:          v.kid("preset").text,
		Period:          v.kid("period").span,
		Timeout:         v.kid("timeout").span,
		Threshold:       int(v.kid("threshold").num),
		Retry:           v.kid("retry").span,
		GoneGrace:       v.kid("gone-grace").span,
		KillDelay:       v.kid("kill-delay").span,
		Probation:       v.kid("probation").span,
		HealthyDeadline: v.kid("healthy-deadline").span,
		StartMax:        v.kid("start-max").span,
		StartTimeout:    v.kid("start-timeout").span,
		StopTimeout:     v.kid("stop-timeout").span,
		PlannedExits:    v.kid("planned-exits").ints(),
		Log:             v.kid("log").text,
		Safe:            v.kid("safe").text,
		AcrossVersions:  v.kid("across-versions").flag,
		FollowWrite:     FollowWrite(v.kid("follow-write").text),
		Notify:          v.kid("notify").texts(),
		Ping:            v.kid("ping").text,
		Supervisor:      buildSupervisor(v.kid("supervisor")),
	}
	if v.kid("timeout").absent {
		a.Timeout = min(a.Timeout, a.Period)
	}
	for _, s := range v.kid("config").sets() {
		a.Config = append(a.Config, buildSet(s))
	}
	a.Validate = rooted(v.kid("validate"), a.Config)
	switch version := v.kid("version"); version.form {
	case "exec":
		a.Version.Exec = rooted(version.kid("exec"), a.Config)
	case "file":
		a.Version.File = version.kid("file").text
	}
	checks := v.kid("checks")
	for _, n := range slices.Sorted(slices.Values(checks.names)) {
		a.Checks = append(a.Checks, buildCheck(n, checks.kids[n], a))
	}
	limits, retention, recovery := v.kid("limits"), v.kid("retention"), v.kid("recovery")
	a.Limits = Limits{
		File:  int64(limits.kid("file").num),
		Set:   int64(limits.kid("set").num),
		Files: int(limits.kid("files").num),
	}
	a.Retention = Retention{
		Newest: int(retention.kid("newest").num),
		Proven: int(retention.kid("proven").num),
	}
	a.Recovery = Recovery{
		Mode:               Mode(recovery.kid("mode").text),
		First:              First(recovery.kid("first").text),
		StartLimitBurst:    int(recovery.kid("start-limit-burst").num),
		StartLimitInterval: recovery.kid("start-limit-interval").span,
		BackoffDelay:       recovery.kid("backoff-delay").span,
		BackoffFactor:      recovery.kid("backoff-factor").num,
		BackoffLimit:       recovery.kid("backoff-limit").span,
	}
	if c := v.kid("canonical"); !c.absent {
		a.Canonical = Canonical{Repo: c.kid("repo").text, Ref: c.kid("ref").text, Path: c.kid("path").text}
	}
	if p := v.kid("publish"); !p.absent {
		a.Publish = Publish{Repo: p.kid("repo").text, Files: p.kid("files").texts(), Push: p.kid("push").text}
	}
	return a
}

// rooted are the words of a command, with the root of the first set in place of
// "{root}": what the agent's own program needs to know to find its config.
func rooted(v *value, sets []Set) []string {
	words := v.texts()
	for i := range words {
		if len(sets) > 0 {
			words[i] = strings.ReplaceAll(words[i], "{root}", sets[0].Root)
		}
	}
	return words
}

func buildSet(v *value) Set {
	return Set{
		Label:    v.kid("label").text,
		Root:     v.kid("root").text,
		Files:    v.kid("files").texts(),
		Exclude:  v.kid("exclude").texts(),
		Preserve: v.kid("preserve").texts(),
		Follow:   v.kid("follow").texts(),
		Reads:    v.kid("reads").texts(),
		Settle:   v.kid("settle").span,
		Formats:  v.kid("formats").textMap(),
	}
}

func buildSupervisor(v *value) Supervisor {
	var s Supervisor
	lead := v.kid(v.form)
	switch v.form {
	case "systemd":
		s.Systemd = &Systemd{Unit: lead.text, User: v.kid("user").flag}
	case "launchd":
		s.Launchd = &Launchd{Label: lead.text, Domain: v.kid("domain").text}
	case "docker":
		s.Docker = &Docker{Container: lead.text, Socket: v.kid("socket").text}
	case "runit":
		s.Runit = &Runit{Service: lead.text}
	case "supervisord":
		s.Supervisord = &Supervisord{Program: lead.text, Socket: v.kid("socket").text}
	case "tmux":
		session, window, _ := strings.Cut(lead.text, ":")
		s.Tmux = &Tmux{Session: session, Window: window, Command: v.kid("command").texts(), Socket: v.kid("socket").text}
	case "child":
		s.Child = &Child{Argv: lead.texts(), Dir: v.kid("dir").text, Env: v.kid("env").textMap()}
	case "command":
		s.Command = &Command{Start: lead.kid("start").texts(), Stop: lead.kid("stop").texts(), Reload: lead.kid("reload").texts()}
		process := v.kid("process")
		switch process.form {
		case "pid-file":
			s.Command.Process.PIDFile = process.kid("pid-file").text
		case "port":
			s.Command.Process.Port = int(process.kid("port").num)
		case "argv":
			s.Command.Process.Argv = process.kid("argv").texts()
		}
	}
	return s
}

func buildCheck(name string, v *value, a Agent) Check {
	c := Check{Name: name, Timeout: a.Timeout, Level: deadman.Alive}
	if v.kid("level").text == "ready" {
		c.Level = deadman.Ready
	}
	if t := v.kid("timeout"); !t.absent {
		c.Timeout = t.span
	}
	lead := v.kid(v.form)
	switch v.form {
	case "http":
		c.HTTP = &HTTP{
			URL:     lead.kid("url").text,
			Status:  lead.kid("status").ints(),
			Method:  lead.kid("method").text,
			Headers: lead.kid("headers").textMap(),
			Body:    lead.kid("body").text,
		}
		for _, n := range lead.kid("json").names {
			if c.HTTP.JSON == nil {
				c.HTTP.JSON = map[string]any{}
			}
			c.HTTP.JSON[n] = lead.kid("json").kids[n].json
		}
	case "tcp":
		c.TCP = &TCP{Address: lead.kid("address").text}
	case "exec":
		c.Exec = &Exec{Command: lead.kid("command").texts()}
	case "heartbeat":
		file := lead.kid("file").text
		if !strings.HasPrefix(file, "/") {
			file = path.Join(a.Config[0].Root, file)
		}
		c.Heartbeat = &Heartbeat{File: file, MaxAge: lead.kid("max-age").span}
	case "process":
		c.Process = &Process{}
	}
	return c
}
