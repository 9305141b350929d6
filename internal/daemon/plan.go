package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"deadman/internal/proc"
)

// plan is what Init comes to, with why.
type plan struct {
	sets      []plannedSet
	fileNotes []string

	// checks are entries of `checks`, a line each; none if the preset has them.
	checks     []string
	checkNotes []string
	// port is where the agent listens, 0 if it does not.
	port int

	child           bool
	env             []string // entries of a child's `env`
	unit            string   // of systemd; user if it is one of a user's
	user            bool
	start           []string
	identity        string
	startTimeout    string
	supervisorNotes []string
	identityNotes   []string
}

type plannedSet struct {
	root          string
	files, follow []string
}

// configEndings are those of files that are somebody's config as a rule.
var configEndings = []string{".yaml", ".yml", ".json", ".json5", ".jsonc", ".toml", ".ini", ".env", ".conf", ".cfg"}

// notConfig are files of that kind that a program does not run by.
var notConfig = []string{
	"package.json", "package-lock.json", "tsconfig.json", "pyproject.toml", "Cargo.toml", "composer.json",
	"deadman.yaml", "docker-compose.yml", "docker-compose.yaml", "compose.yaml", "compose.yml", "setup.cfg", "tox.ini", "pytest.ini", "auth.json",
}

func looksLikeConfig(path string) bool {
	base := filepath.Base(path)
	if slices.Contains(notConfig, base) {
		return false
	}
	return slices.Contains(configEndings, strings.ToLower(filepath.Ext(base)))
}

// configFlags are followed by the name of a config file.
var configFlags = []string{"-c", "-config", "--config", "--config-file", "--conf", "--settings", "--env-file"}

// findFiles finds the config: what a person says; else what the command line
// names; else what lies where such programs look.
func (p *plan) findFiles(s subject, given []string) error {
	if s.known != nil {
		p.sets = []plannedSet{{root: s.known.root}}
		return nil
	}
	files := make([]string, 0, len(given))
	for _, f := range given {
		path, err := filepath.Abs(f)
		if err != nil {
			return err
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return &saidError{fmt.Sprintf("cannot guard %s: there is no such file", path), "name the files that the agent reads when it starts"}
		}
		files = append(files, path)
	}
	if len(files) == 0 {
		if files = s.namedFiles(); len(files) > 0 {
			p.fileNotes = append(p.fileNotes, "Guessed: the command line names it. Add whatever else the agent reads when it starts;", "leave out tokens and sessions that it renews by itself.")
		}
	}
	if len(files) == 0 {
		if files = s.nearFiles(); len(files) > 0 {
			p.fileNotes = append(p.fileNotes, "Guessed: these lie where such a program looks, and nothing says that it reads them.", "Correct the list: what is not in it is not guarded, and what is in it is put back.")
		}
	}
	if len(files) == 0 {
		return &saidError{fmt.Sprintf("cannot find the config of %s", s.name), "name its files: deadman init --files FILE …"}
	}
	var also []string
	for _, dir := range dirsOf(files) {
		env := filepath.Join(dir, ".env")
		for _, f := range regularFiles(dir) {
			switch {
			case slices.Contains(files, f) || len(given) > 0:
			case f == env:
				files = append(files, f)
			default:
				also = append(also, f)
			}
		}
	}
	if len(also) > 0 {
		slices.Sort(also)
		p.fileNotes = append(p.fileNotes, "Beside them, and not guarded: "+strings.Join(also[:min(len(also), 10)], ", "))
	}
	for _, dir := range dirsOf(files) {
		set := plannedSet{root: dir}
		for _, f := range files {
			if filepath.Dir(f) != dir {
				continue
			}
			set.files = append(set.files, escape(filepath.Base(f)))
			if target, err := filepath.EvalSymlinks(f); err == nil && filepath.Base(target) != "" {
				if info, err := os.Lstat(f); err == nil && info.Mode().Type() == os.ModeSymlink && !slices.Contains(set.follow, filepath.Dir(target)) {
					set.follow = append(set.follow, filepath.Dir(target))
				}
			}
		}
		p.sets = append(p.sets, set)
	}
	return nil
}

// escape makes a pattern that matches this very name.
func escape(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

// dirsOf are the directories of files, each once, in their order.
func dirsOf(files []string) []string {
	var dirs []string
	for _, f := range files {
		if dir := filepath.Dir(f); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// namedFiles are the config files that the command line names.
func (s subject) namedFiles() []string {
	var files []string
	add := func(word string, flagged bool) {
		path := word
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.dir, path)
		}
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && (flagged || looksLikeConfig(path)) && !slices.Contains(files, path) {
			files = append(files, path)
		}
	}
	for i, word := range s.argv[1:] {
		flag, value, ok := strings.Cut(word, "=")
		switch {
		case ok && strings.HasPrefix(flag, "-"):
			add(value, slices.Contains(configFlags, flag))
		case !strings.HasPrefix(word, "-"):
			add(word, slices.Contains(configFlags, s.argv[i]))
		}
	}
	return files
}

// nearFiles are config files where a program of this name looks for its own.
func (s subject) nearFiles() []string {
	dirs := []string{s.dir}
	if s.home != "" {
		dirs = append(dirs, filepath.Join(s.home, "."+s.name), filepath.Join(s.home, ".config", s.name))
	}
	for _, dir := range append(dirs, filepath.Join("/etc", s.name)) {
		if dir == "/" {
			continue
		}
		if files := regularFiles(dir); len(files) > 0 {
			return files
		}
	}
	return nil
}

// regularFiles are the files in dir that look like config.
func regularFiles(dir string) []string {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var files []string
	for _, entry := range names {
		path := filepath.Join(dir, entry.Name())
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && looksLikeConfig(path) {
			files = append(files, path)
		}
	}
	return files
}

// probeTime is how long an address is given to answer.
const probeTime = time.Second

// findCheck finds out how to tell that the agent serves.
func (p *plan) findCheck(ctx context.Context, s subject, url string) {
	listeners := s.listeners()
	if len(listeners) > 0 {
		p.port = int(listeners[0].Port())
	}
	check := func(name, format string, args ...any) {
		p.checks = []string{name + ": {level: alive, " + fmt.Sprintf(format, args...) + "}"}
	}
	if url != "" {
		check("web", "http: {url: %s, status: [200]}", quote(url))
		return
	}
	if s.known != nil && s.known.checks != nil {
		p.checks = s.known.checks(p.port)
		return
	}
	for _, l := range listeners {
		for _, path := range []string{"/health", "/healthz", "/ready", "/"} {
			if ctx.Err() != nil {
				return
			}
			if !answers(ctx, l, path) {
				continue
			}
			p.port = int(l.Port())
			check("web", "http: {url: %s, status: [200]}", quote("http://"+reach(l).String()+path))
			p.checkNotes = []string{fmt.Sprintf("Guessed: GET %s on port %d answered 200 just now. Make it the address that only a working", path, l.Port()), "agent answers; add one with `level: ready` for whether it can do its work."}
			return
		}
	}
	if len(listeners) > 0 {
		check("port", "tcp: {address: %s}", quote(reach(listeners[0]).String()))
		p.checkNotes = []string{"Guessed: it listens there, and answers no GET of /health, /healthz, /ready or / with 200.", "A process that hangs still accepts: give an `http` or `exec` check if there is one."}
		return
	}
	check("process", "process: {}")
	if s.process.PID == 0 {
		p.checkNotes = []string{"It has not been run, so nothing is known of how to tell that it serves. Give an `http`,", "`tcp`, `exec` or `heartbeat` check: a process that hangs is there too."}
		return
	}
	p.checkNotes = []string{"It listens on no port, so all that can be seen is that its process is there.", "Give an `http`, `exec` or `heartbeat` check if there is one: a process that hangs is there too."}
}

// reach is an address on which a listener can be asked.
func reach(l netip.AddrPort) netip.AddrPort {
	switch {
	case !l.Addr().IsUnspecified():
		return l
	case l.Addr().Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), l.Port())
	}
	// The unspecified IPv6 address mostly takes IPv4 as well.
	v4 := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), l.Port())
	if conn, err := net.DialTimeout("tcp", v4.String(), probeTime); err == nil {
		conn.Close()
		return v4
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), l.Port())
}

// answers reports whether a GET is answered with 200.
func answers(ctx context.Context, l netip.AddrPort, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reach(l).String()+path, nil)
	if err != nil {
		return false
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// findSupervisor finds how to start it, and how to find its process.
func (p *plan) findSupervisor(ctx context.Context, s subject) error {
	if s.process.PID == 0 {
		p.child, p.start = true, s.argv
		if s.known != nil {
			for _, entry := range s.known.env {
				name, value, _ := strings.Cut(entry, "=")
				p.env = append(p.env, name+": "+quote(value))
			}
		}
		p.supervisorNotes = []string{"deadman owns the process: `deadman watch` starts and guards it, `deadman run " + s.name + "` does in the foreground."}
		return nil
	}
	if p.byUnit(ctx, s) {
		return nil
	}
	if s.unit != "" {
		p.supervisorNotes = append(p.supervisorNotes,
			fmt.Sprintf("CHECK THIS: the process is in the cgroup of the systemd unit %s. If that unit restarts it, two", s.unit),
			"supervisors would start it: then name the unit here: {systemd: …}, and `user: true` if it is yours.")
	}
	p.supervisorNotes = append(p.supervisorNotes, fmt.Sprintf("Guessed: this is how process %d was started. A script that you start it by is better.", s.process.PID))
	lacks := s.lacks
	if s.known != nil {
		p.supervisorNotes = append(p.supervisorNotes, s.known.notes...)
		lacks = slices.DeleteFunc(slices.Clone(lacks), func(name string) bool {
			return slices.ContainsFunc(s.known.env, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
		})
	}
	if len(lacks) > 0 {
		p.supervisorNotes = append(p.supervisorNotes, "CHECK THIS: it was started with variables that deadman will not have: "+strings.Join(lacks[:min(len(lacks), 20)], ", "),
			"If it needs them, start it by a script that sets them.")
	}
	agent := s.argv
	if s.known != nil {
		if s.known.start != nil {
			agent = s.known.start
		}
		if len(s.known.env) > 0 {
			agent = slices.Concat([]string{"env"}, s.known.env, agent)
		}
	}
	if s.uid != os.Geteuid() {
		become := []string{"setpriv", fmt.Sprintf("--reuid=%d", s.uid), fmt.Sprintf("--regid=%d", s.gid), "--init-groups"}
		if _, err := exec.LookPath(become[0]); err != nil {
			return &saidError{fmt.Sprintf("cannot start process %d again: it runs as user %d, and setpriv is not there", s.process.PID, s.uid), "run deadman as that user"}
		}
		if s.home != "" {
			become = append(become, "env", "HOME="+s.home)
		}
		agent = append(become, agent...)
	}
	// In its directory, and detached: the start command returns at once, so
	// what takes its place as the agent is told from the command itself.
	p.start = append([]string{"sh", "-c", `cd "$0" && exec setsid -f "$@"`, s.dir}, agent...)
	if _, err := exec.LookPath("setsid"); err != nil {
		p.start[2] = `cd "$0" && { "$@" & }`
	}
	if s.known == nil { // A preset knows how long it takes.
		p.startTimeout = "5s"
	}
	return p.findIdentity(s)
}

// byUnit plans to name a systemd unit, if that says that the process is its.
func (p *plan) byUnit(ctx context.Context, s subject) bool {
	if s.unit == "" || s.userUnit && s.uid != os.Geteuid() || !s.userUnit && os.Geteuid() != 0 {
		return false
	}
	args := []string{"show", "-p", "MainPID", "--value", s.unit}
	if s.userUnit {
		args = append([]string{"--user"}, args...)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", args...).Output()
	if err != nil || strings.TrimSpace(string(out)) != strconv.Itoa(s.process.PID) {
		return false
	}
	p.unit, p.user = s.unit, s.userUnit
	p.supervisorNotes = []string{"It owns the process. Its own Restart= brings that back from a crash; deadman's part begins where", "that does not help. A stop by a person is left alone."}
	return true
}

// findIdentity finds what the process can be told by, now and after a start.
func (p *plan) findIdentity(s subject) error {
	file := s.pidFile()
	if s.known != nil && s.known.pidFile != "" {
		file = s.known.pidFile
	}
	switch {
	case file != "":
		p.identity = "pid-file: " + quote(file)
		p.identityNotes = []string{"Its pid is in this file."}
	case p.port != 0:
		p.identity = fmt.Sprintf("port: %d", p.port)
		p.identityNotes = []string{"Guessed: whoever listens on this port is the agent."}
	default:
		switch n := same(s.argv); {
		case n == 0:
			return &saidError{
				fmt.Sprintf("cannot tell process %d by its command line: it was not started by the path of its program, and listens on no port", s.process.PID),
				"have it write a pid file, or let deadman own it: deadman init -- COMMAND…",
			}
		case n > 1:
			return &saidError{
				fmt.Sprintf("cannot tell process %d from others: %d processes have this command line, and it listens on no port", s.process.PID, n),
				"have it write a pid file, or let deadman own it: deadman init -- COMMAND…",
			}
		}
		p.identity = "argv: " + list(s.argv)
		p.identityNotes = []string{"The one process with exactly this command line."}
	}
	return nil
}

// same counts the processes with a command line; of a master and its workers
// only the master.
func same(argv []string) int {
	table, err := proc.Scan()
	if err != nil {
		return 0
	}
	return len(proc.Roots(table.Where(func(stat proc.Stat) bool {
		other, err := proc.Argv(stat.PID)
		return err == nil && slices.Equal(other, argv)
	})))
}

// pidFile is a file that the command line names and that holds the pid.
func (s subject) pidFile() string {
	for _, word := range s.argv[1:] {
		if _, value, ok := strings.Cut(word, "="); ok {
			word = value
		}
		if strings.HasPrefix(word, "-") || word == "" {
			continue
		}
		if !filepath.IsAbs(word) {
			word = filepath.Join(s.dir, word)
		}
		if info, err := os.Lstat(word); err != nil || !info.Mode().IsRegular() || info.Size() > 64 {
			continue
		}
		text, err := os.ReadFile(word)
		if err == nil && strings.TrimSpace(string(text)) == strconv.Itoa(s.process.PID) {
			return word
		}
	}
	return ""
}
