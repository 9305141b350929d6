package service

// Plan is what makes a service, and what ends it. To install: the files, whole,
// then Reload, then Enable. To remove: Disable, then the files, then Reload.
type Plan struct {
	Files                   []File
	Reload, Enable, Disable [][]string
	// Also is a pattern of files that go with a removal, if they bear the Mark.
	Also string
}

// File is a file to be written, readable by all.
type File struct{ Path, Text string }

// Mark is in every file that this package writes. A file without it is somebody
// else's.
const Mark = "Written by deadman install-service"

// Service says what is to be run, and for whom.
type Service struct {
	// Program is the absolute path of deadman, Config that of its config file, ""
	// for the default.
	Program, Config string
	// Check: a one-shot by the clock, not a daemon.
	Check bool
	// User: of the user alone, not of the machine.
	User bool
	// Confine: without what a deadman needs that starts agents itself. Of systemd
	// alone, and of the machine's.
	Confine bool
	// Home is the user's home directory, and ConfigHome where their config is
	// ($XDG_CONFIG_HOME). Needed with User.
	Home, ConfigHome string
	// Finish are systemd units that do not start before a set of files that is
	// half put back is finished, each with the agent's name.
	Finish []Unit
}

// Unit is a service of systemd that owns an agent, with or without its suffix.
type Unit struct {
	Agent, Name string
	// User: it is the user manager's.
	User bool
}

// argv is the command line of deadman with these words.
func (s Service) argv(words ...string) []string {
	argv := append([]string{s.Program}, words...)
	if s.Config != "" {
		argv = append(argv, "--config", s.Config)
	}
	return argv
}
