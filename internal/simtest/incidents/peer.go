package incidents

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"deadman/internal/simtest/machine"
)

// peerFiles are the configurations of the peers, as templates over a [setting].
//
//go:embed peers
var peerFiles embed.FS

// Peer is a system that people use today instead of deadman.
type Peer interface {
	System
	// Missing says what is not there to run it, "" if all is.
	Missing() string
	// Configs are the names of its files below peers/.
	Configs() []string
}

// Peers are all of them, in the scoreboard's order. A peer keeps something of the
// agent that it guards, so each scenario needs new ones. systemd runs in the machine,
// or, if that is nil, does not, and why says why.
func Peers(m *machine.Machine, why string) []Peer {
	return []Peer{&Script{}, &Monit{}, &Runit{}, &Supervisord{}, &Systemd{Machine: m, Why: why}, &Pebble{}}
}

// setting is what a configuration says of the agent.
type setting struct {
	Dir   string
	Port  int
	Files []string // patterns below etc/
	// Paths are those of the files that are there.
	Paths []string
	// Agent is its command line, Start one that starts it in the background.
	Agent, Start      string
	Validate, Expects string
	Ready             bool
}

func (w *World) setting() setting {
	s := w.Scenario
	out := setting{
		Dir: w.Dir, Port: w.Port, Files: s.Set, Agent: strings.Join(w.Agent(), " "), Start: "/usr/bin/" + strings.Join(w.Daemon(), " "),
		Validate: strings.ReplaceAll(w.expand(s.Validate), "{dir}", w.Path("etc")), Expects: strings.Join(s.Expects, ".*"), Ready: s.Ready,
	}
	for _, name := range slices.Sorted(maps.Keys(w.liveFiles())) {
		out.Paths = append(out.Paths, w.Path("etc", name))
	}
	return out
}

// example is the setting in which a document shows the configurations.
var example = setting{
	Dir: "/srv/agent", Port: 8000, Files: []string{"config.yaml", ".env"}, Paths: []string{"/srv/agent/etc/config.yaml", "/srv/agent/etc/.env"},
	Agent: "/opt/agent/gateway", Start: "/opt/agent/gateway --daemon", Ready: true,
}

// PeerConfig is the text of a configuration, in the example's setting.
func PeerConfig(name string) (string, error) {
	text, err := render(name, example)
	return string(text), err
}

func render(name string, s setting) ([]byte, error) {
	t, err := template.ParseFS(peerFiles, "peers/"+name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, s)
	return b.Bytes(), err
}

// peer is what they have in common: they pass time, have no record with types, and
// keep nothing.
type peer struct {
	log string // below the world's directory
	// from is where its log was when the agent was well: what it told of the first
	// start is not about a death.
	from int
	end  func()
}

// configure writes a configuration to a path below the world's directory.
func (*peer) configure(w *World, name, path string, mode os.FileMode) error {
	text, err := render(name, w.setting())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(w.Path(path)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(w.Path(path), text, mode)
}

// begin starts its program.
func (p *peer) begin(w *World, name string, argv ...string) error {
	end, err := w.begin(name, argv...)
	p.end = end
	return err
}

// anew has the agent restarted by a command, and waits until it is another process,
// as deadman's command would.
func (*peer) anew(w *World, argv ...string) error {
	old := w.pid()
	err := w.run("operator", argv...)
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(poll) {
		if pid := w.pid(); pid != 0 && pid != old {
			break
		}
	}
	return err
}

// daemon starts the agent, as the machine would before a watchdog comes.
func (*peer) daemon(w *World) error {
	err := w.run("agent", w.Daemon()...)
	w.until("the agent", patience, func() bool { return w.pid() > 0 })
	return err
}

// Ready as soon as it runs.
func (p *peer) Ready(w *World) bool {
	text, _ := os.ReadFile(w.Path(p.log))
	p.from = len(text)
	return w.well()
}

// Rounds pass: they look once a period.
func (*peer) Rounds(_ *World, n int) { pass(n) }

// Operator has no command that would mean the same.
func (*peer) Operator(*World, []string) error { return nil }

// Quiet: always, as far as one can tell.
func (*peer) Quiet(*World) bool { return true }

// KnownGood: it keeps none.
func (*peer) KnownGood(*World) map[string]string { return nil }

// Stores: it has none.
func (*peer) Stores(*World) []string { return nil }

// Typed: its record is a log.
func (*peer) Typed() bool { return false }

// Told are the lines of its log.
func (p *peer) Told(w *World) []string {
	text, _ := os.ReadFile(w.Path(p.log))
	return strings.Split(strings.TrimSpace(string(text[min(p.from, len(text)):])), "\n")
}

// End ends its program.
func (p *peer) End(*World) {
	if p.end != nil {
		p.end()
		p.end = nil
	}
}

// missing names the first program that is not there.
func missing(programs ...string) string {
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Sprintf("there is no %s", program)
		}
	}
	return ""
}
