package ansible_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"deadman/internal/simtest/machine"
)

// host is a machine that Ansible reaches over SSH.
type host struct {
	*machine.Machine
	name, address string
}

// fleet is the two hosts, and the one that runs Ansible: a network of its own,
// where nobody else is.
type fleet struct {
	hosts map[string]host
	// net is the namespace that the plays run in; dir has their inventory and keys.
	net, dir string
}

// names are those of the hosts, in the order of the play.
var names = []string{"vps1", "vps2"}

// need skips the test, or fails it where DEADMAN_REQUIRE says so.
func need(t *testing.T, err error) {
	t.Helper()
	if strings.Contains(os.Getenv("DEADMAN_REQUIRE"), "systemd") {
		t.Fatal(err)
	}
	t.Skip(err)
}

// wanted skips what takes minutes.
func wanted(t *testing.T) {
	t.Helper()
	if !strings.Contains(os.Getenv("DEADMAN_RUN")+os.Getenv("DEADMAN_REQUIRE"), "ansible") {
		t.Skip("it takes minutes: `make test-ansible` runs it")
	}
}

// newFleet boots both hosts, with SSH, cron, and what ran there before Ansible came.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	wanted(t)
	for _, program := range []string{"ansible-playbook", "ssh", "ssh-keygen", "ip", "sqlite3"} {
		if _, err := exec.LookPath(program); err != nil {
			need(t, fmt.Errorf("needs %s: tools/install-test-deps ansible", program))
		}
	}
	image, err := machine.Image("openssh-server", "python3")
	if err != nil {
		need(t, err)
	}
	f := &fleet{hosts: map[string]host{}, dir: t.TempDir()}
	f.programs(t)
	f.keys(t)
	f.network(t)
	var boots sync.WaitGroup
	failures := make(chan error, len(names))
	for i, name := range names {
		m, err := machine.Copy(image, filepath.Join(f.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		h := host{m, name, address(i)}
		f.hosts[name] = h
		f.seed(t, h)
		t.Cleanup(func() {
			if m.Leader != 0 {
				m.Cut()
			}
		})
		boots.Go(func() {
			if err := m.Boot("--network-namespace-path=/run/netns/"+f.net+name, "--hostname="+name); err != nil {
				failures <- err
			}
		})
	}
	boots.Wait()
	select {
	case err := <-failures:
		need(t, err)
	default:
	}
	f.inventory(t)
	return f
}

// address is that of a host; each has a line of its own to the controller.
func address(i int) string { return fmt.Sprintf("10.77.%d.2", i+1) }

// network makes a namespace for the controller and one for each host.
func (f *fleet) network(t *testing.T) {
	t.Helper()
	f.net = fmt.Sprintf("dm%d-", os.Getpid())
	ip := func(words string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput(); err != nil {
			need(t, fmt.Errorf("cannot make the network: ip %s: %v: %s", words, err, out))
		}
	}
	add := func(name string) {
		t.Helper()
		ip("netns add " + f.net + name)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", f.net+name).Run() })
		ip("-n " + f.net + name + " link set lo up")
	}
	add("c")
	for i, name := range names {
		add(name)
		controller, peer := f.net+"c", f.net+name
		ip(fmt.Sprintf("-n %s link add %s type veth peer name host0 netns %s", controller, name, peer))
		ip(fmt.Sprintf("-n %s address add 10.77.%d.1/30 dev %s", controller, i+1, name))
		ip(fmt.Sprintf("-n %s address add %s/30 dev host0", peer, address(i)))
		ip(fmt.Sprintf("-n %s link set %s up", controller, name))
		ip(fmt.Sprintf("-n %s link set host0 up", peer))
	}
}

// programs builds what runs in the hosts.
func (f *fleet) programs(t *testing.T) {
	t.Helper()
	for name, from := range map[string]string{"deadman": "deadman/cmd/deadman", "gateway": "deadman/internal/simtest/gateway/gateway"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(f.dir, "bin", name), from)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cannot build %s: %v\n%s", name, err, out)
		}
	}
}

// keys makes the controller's key.
func (f *fleet) keys(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(f.dir, "key")).CombinedOutput(); err != nil {
		t.Fatalf("cannot make a key: %v\n%s", err, out)
	}
}

// inventory is that of the example, and what is different here: addresses, the key
// and short times.
func (f *fleet) inventory(t *testing.T) {
	t.Helper()
	var known strings.Builder
	inventory := "[wizards]\n"
	for _, name := range names {
		h := f.hosts[name]
		inventory += fmt.Sprintf("%s ansible_host=%s\n", name, h.address)
		key := h.read(t, "/etc/ssh/ssh_host_ed25519_key.pub")
		fmt.Fprintf(&known, "%s %s\n", h.address, strings.Join(strings.Fields(key)[:2], " "))
	}
	f.write(t, "known_hosts", known.String())
	f.write(t, "hosts.ini", inventory)
	f.write(t, "ansible.cfg", "[defaults]\n")
	f.write(t, "short.json", `{
  "ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3",
  "deadman_binary": "`+filepath.Join(f.dir, "bin/deadman")+`",
  "deadman_defaults": {
    "period": "1s", "threshold": 2, "retry": "100ms", "gone-grace": "200ms", "probation": "3s", "healthy-deadline": "30m",
    "kill-delay": "2s", "config": {"settle": "0s"},
    "recovery": {"start-limit-burst": 100, "backoff-delay": "100ms"}
  }
}`)
	link := filepath.Join(f.dir, "collections/ansible_collections/deadman/fleet")
	collection, err := filepath.Abs("../../../ansible")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(link), 0o755)
	}
	if err == nil {
		err = os.Symlink(collection, link)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// write writes a file of the controller.
func (f *fleet) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// environ is that of a play, and not whatever is set here.
func (f *fleet) environ() []string {
	ssh := []string{
		"-i", filepath.Join(f.dir, "key"), "-F", "/dev/null", "-o", "UserKnownHostsFile=" + filepath.Join(f.dir, "known_hosts"), "-o", "StrictHostKeyChecking=yes",
		"-o", "ControlMaster=auto", "-o", "ControlPersist=300s", "-o", "PreferredAuthentications=publickey",
	}
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + f.dir, "LANG=C.UTF-8", "LC_ALL=C.UTF-8",
		"ANSIBLE_CONFIG=" + filepath.Join(f.dir, "ansible.cfg"), "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCALHOST_WARNING=0",
		"ANSIBLE_COLLECTIONS_PATH=" + filepath.Join(f.dir, "collections"), "ANSIBLE_RETRY_FILES_ENABLED=0",
		"ANSIBLE_PIPELINING=1", "ANSIBLE_SSH_ARGS=" + strings.Join(ssh, " "), "ANSIBLE_TIMEOUT=60",
		"ANSIBLE_LOCAL_TEMP=" + filepath.Join(f.dir, "tmp"), "ANSIBLE_CALLBACKS_ENABLED=" + os.Getenv("DEADMAN_PROFILE"),
	}
}

// recap is how a play came out on one host.
type recap struct{ ok, changed, failed, unreachable int }

// outcome is how a play came out, on each host it came to.
type outcome struct {
	hosts map[string]recap
	out   string
}

// play runs a playbook of the collection, site unless words begin with another.
func (f *fleet) play(t *testing.T, words ...string) outcome {
	t.Helper()
	o, err := f.start(t, words...)()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// start begins a play, and returns what waits for it.
func (f *fleet) start(t *testing.T, words ...string) func() (outcome, error) {
	t.Helper()
	book := "deadman.fleet.site"
	if len(words) > 0 && strings.HasPrefix(words[0], "deadman.fleet.") {
		book, words = words[0], words[1:]
	}
	argv := append([]string{
		"netns", "exec", f.net + "c", "ansible-playbook", "-i", filepath.Join(f.dir, "collections/ansible_collections/deadman/fleet/examples/fleet/hosts.yml"),
		"-i", filepath.Join(f.dir, "hosts.ini"), "-e", "@" + filepath.Join(f.dir, "short.json"), "-e", "deadman_hosts=wizards", book,
	}, words...)
	began := time.Now()
	cmd := exec.Command("ip", argv...)
	cmd.Env, cmd.Dir = f.environ(), f.dir
	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := cmd.CombinedOutput()
		done <- result{out, err}
	}()
	return func() (outcome, error) {
		r := <-done
		t.Logf("%s %s: %.1f s", book, strings.Join(words, " "), time.Since(began).Seconds())
		o := outcome{map[string]recap{}, string(r.out)}
		_, table, ok := strings.Cut(o.out, "PLAY RECAP")
		if !ok {
			return o, fmt.Errorf("the play says %v\n%s", r.err, r.out)
		}
		for line := range strings.Lines(table) {
			var c recap
			name, counts, ok := strings.Cut(line, ":")
			if !ok || !strings.HasPrefix(name, "vps") {
				continue
			}
			if _, err := fmt.Sscanf(strings.TrimSpace(counts), "ok=%d changed=%d unreachable=%d failed=%d", &c.ok, &c.changed, &c.unreachable, &c.failed); err != nil {
				return o, fmt.Errorf("cannot read %q: %v", line, err)
			}
			o.hosts[strings.TrimSpace(name)] = c
		}
		return o, nil
	}
}

// some is a number of changes that does not matter, as long as there is one.
const some = -1

// came is how the play must have come out: through, on these hosts and no others,
// with so many changes.
func (o outcome) came(t *testing.T, changed map[string]int) outcome {
	t.Helper()
	for name, want := range changed {
		c, ok := o.hosts[name]
		switch {
		case !ok, c.failed+c.unreachable > 0, want >= 0 && c.changed != want, want == some && c.changed == 0:
			t.Fatalf("%s came out as %+v, want %d changed\n%s", name, c, want, o.out)
		}
	}
	if len(o.hosts) != len(changed) {
		t.Fatalf("the play came to %v\n%s", o.hosts, o.out)
	}
	return o
}

// each runs a play on each host alone, at once, which must come through with so many
// changes.
func (f *fleet) each(t *testing.T, changed int, words map[string][]string) map[string]outcome {
	t.Helper()
	wait := map[string]func() (outcome, error){}
	for name, w := range words {
		wait[name] = f.start(t, append(w, "--limit", name)...)
	}
	all := map[string]outcome{}
	for name := range words {
		o, err := wait[name]()
		if err != nil {
			t.Fatal(err)
		}
		all[name] = o.came(t, map[string]int{name: changed})
	}
	return all
}

// run runs a shell command that must succeed.
func (h host) run(t *testing.T, command string) string {
	t.Helper()
	out, status := h.Try(command)
	if status != 0 {
		t.Fatalf("%s: %s: status %d\n%s", h.name, command, status, out)
	}
	return out
}

// until waits until a shell command succeeds.
func (h host) until(t *testing.T, command string) {
	t.Helper()
	if !machine.Wait(func() bool { _, status := h.Try(command); return status == 0 }) {
		out, status := h.Try(command)
		more, _ := h.Try("deadman status; deadman history -n 30; cat /var/mail-of-cron; crontab -l; ls /etc/cron.d; journalctl -u cron --no-pager | tail -20")
		t.Fatalf("%s: never: %s: status %d\n%s\n%s", h.name, command, status, out, more)
	}
}

// write writes a file in the host.
func (h host) write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	path = filepath.Join(h.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func (h host) read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.Root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// has reports whether there is something at a path, be it a link that leads nowhere.
func (h host) has(path string) bool {
	_, err := os.Lstat(filepath.Join(h.Root, path))
	return err == nil
}

// row is one of request_log.
type row struct {
	Timestamp time.Time `json:"timestamp"`
	Agent     string    `json:"agent_name"`
	Provider  string    `json:"provider"`
	Model     string    `json:"model"`
	Endpoint  string    `json:"endpoint"`
	Status    string    `json:"status"`
	Message   string    `json:"error_message"`
	Detail    struct {
		Old    string `json:"old_config_hash"`
		New    string `json:"new_config_hash"`
		Cause  string `json:"cause"`
		Reason string `json:"reason"`
	} `json:"-"`
}

// rows are those of an agent, as another program reads them.
func (h host) rows(t *testing.T, agent string) []row {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), machine.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sqlite3", "-readonly", "-json", filepath.Join(h.Root, "var/lib/deadman/request_log.db"),
		".timeout 20000", "SELECT * FROM request_log WHERE agent_name = '"+agent+"' ORDER BY id")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: request_log: %v\n%s", h.name, err, stderr.String())
	}
	var all []row
	if len(out) > 0 {
		if err := json.Unmarshal(out, &all); err != nil {
			t.Fatalf("%s: request_log: %v\n%s", h.name, err, out)
		}
	}
	for i := range all {
		if err := json.Unmarshal([]byte(all[i].Message), &all[i].Detail); err != nil {
			t.Fatalf("%s: request_log: %v\n%s", h.name, err, all[i].Message)
		}
	}
	return all
}
