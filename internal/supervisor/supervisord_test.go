package supervisor_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deadman"
	"deadman/internal/supervisor"
)

func init() {
	owners = append(owners, owner{
		form: "supervisord", kind: "real", program: "supervisord",
		install: installSupervisord, restarts: true, counts: true, givesUp: true,
	})
}

const supervisordConf = `[unix_http_server]
file=%[1]s/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
nodaemon=true
directory=%[1]s
logfile=%[1]s/supervisord.log
pidfile=%[1]s/supervisord.pid
[supervisorctl]
serverurl=unix://%[1]s/socket
[program:agent]
command=%[2]s
autostart=false
startsecs=1
startretries=1
redirect_stderr=true
stdout_logfile=%[1]s/agent.log
`

func installSupervisord(t *testing.T, dir string, argv []string) ways {
	home := shortDir(t)
	conf := filepath.Join(home, "supervisord.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, supervisordConf, home, strings.Join(argv, " ")), 0o600); err != nil {
		t.Fatal(err)
	}
	vanish := daemon(t, "supervisord", "-c", conf)
	s := &supervisor.Supervisord{Program: "agent", Socket: home + "/socket"}
	f := &supervisor.Owned{Owner: s, StateDir: home}
	eventually(t, "supervisord answers", func() bool { return inspect(t, f).Presence == deadman.Gone })
	return ways{
		owner: s, vanish: vanish,
		person: func(t *testing.T) { run(t, "supervisorctl", "-c", conf, "stop", "agent") },
	}
}

// What supervisord may answer besides, as its documentation has it: each means
// that it cannot be told.
func TestSupervisordThatDoesNotSay(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"a fault": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `<?xml version='1.0'?><methodResponse><fault><value><struct>
				<member><name>faultCode</name><value><int>10</int></value></member>
				<member><name>faultString</name><value><string>BAD_NAME: agent</string></value></member>
				</struct></value></fault></methodResponse>`)
		},
		"a password":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) },
		"an error":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"no XML":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") },
		"another XML":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<methodResponse></methodResponse>") },
		"a new state":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, processInfo(1000, "UNKNOWN")) },
		"no pid there": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, processInfo(20, "RUNNING", 1<<30)) },
	} {
		t.Run(name, func(t *testing.T) {
			home := shortDir(t)
			listener, err := net.Listen("unix", home+"/socket")
			if err != nil {
				t.Fatal(err)
			}
			server := http.Server{Handler: answer}
			go server.Serve(listener)
			defer server.Close()
			f := &supervisor.Owned{Owner: &supervisor.Supervisord{Program: "agent", Socket: home + "/socket"}, StateDir: home}
			got := inspect(t, f)
			if name == "no pid there" {
				if got.Presence != deadman.Gone || !got.Activating {
					t.Errorf("%+v", got)
				}
				return
			}
			if got.Presence != deadman.Obscured || got.Stopped || got.Detail == "" {
				t.Errorf("%+v", got)
			}
			if _, err := f.Start(t.Context(), token(t, "one")); err == nil {
				t.Error("it starts what it knows nothing of")
			}
		})
	}
}

func processInfo(state int, word string, pid ...int) string {
	members := fmt.Sprintf("<member><name>state</name><value><int>%d</int></value></member><member><name>statename</name><value>%s</value></member>", state, word)
	for _, p := range pid {
		members += fmt.Sprintf("<member><name>pid</name><value><i4>%d</i4></value></member>", p)
	}
	return "<methodResponse><params><param><value><struct>" + members + "</struct></value></param></params></methodResponse>"
}
