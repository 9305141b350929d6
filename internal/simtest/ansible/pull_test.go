package ansible_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/simtest/machine"
)

// puller is a host that fetches its play and its config from a git repository and runs
// the play on itself: nobody comes to it. The repository has the collection in it.
type puller struct {
	agent
	// work is a work tree of the repository, on the machine of whoever commits.
	work string
}

// Its play, and what it says of the one agent of the host.
const (
	localPlay = `- name: Guard this host
  hosts: localhost
  connection: local
  gather_subset: [min]
  roles:
    - role: deadman.fleet.deadman
`
	localVars = `deadman_url: file:///opt/deadman
deadman_checksum: sha256:SUM
deadman_rivals: disable
deadman_cron_in: crontab
deadman_defaults:
  {period: 1s, threshold: 2, retry: 100ms, gone-grace: 200ms, probation: 3s, healthy-deadline: 30m, kill-delay: 2s, config: {settle: 0s},
  recovery: {start-limit-burst: 100, backoff-delay: 100ms}}
deadman_agents:
  bezalel:
    preset: hermes
    config: {root: /root/wizards/bezalel/home}
    supervisor: {systemd: hermes-bezalel.service}
    checks:
      gateway: {level: alive, http: {url: "http://127.0.0.1:8656/health"}}
deadman_deploy:
  bezalel:
    - {src: "{{ playbook_dir }}/wizards/bezalel/config.yaml", dest: config.yaml}
`
	// configFile is canonical: what the repository has for the agent.
	configFile  = "wizards/bezalel/config.yaml"
	pullCommand = "ansible-pull -U /srv/git/timmy-config.git -C main -d /srv/timmy-config -i localhost, local.yml"
	// pullEntry is in the crontab before deadman comes, and stays.
	pullEntry = "17 4 * * * LANG=C.UTF-8 " + pullCommand + "\n"
	// oldSwitch is what was there against deaths before.
	oldSwitch = "*/5 * * * * systemctl is-active -q hermes-bezalel.service || systemctl restart hermes-bezalel.service\n"
	ourEntry  = "#Ansible: deadman\n* * * * * PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /usr/local/bin/deadman check --quiet\n"
)

// newPuller boots the host, with an agent that runs.
func newPuller(t *testing.T) *puller {
	t.Helper()
	wanted(t)
	if _, err := exec.LookPath("git"); err != nil {
		need(t, err)
	}
	// debootstrap does not know who provides what python3-cryptography asks for.
	image, err := machine.Image("ansible-core", "git", "python3", "python3-cffi-backend")
	if err != nil {
		need(t, err)
	}
	f := &fleet{hosts: map[string]host{}, dir: t.TempDir()}
	f.programs(t)
	m, err := machine.Copy(image, filepath.Join(f.dir, "vps1"))
	if err != nil {
		t.Fatal(err)
	}
	f.hosts["vps1"] = host{m, "vps1", ""}
	p := &puller{f.agent("bezalel"), filepath.Join(f.dir, "timmy-config")}
	p.gateway(t, f)
	program, err := os.ReadFile(filepath.Join(f.dir, "bin/deadman"))
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "/opt/deadman", string(program), 0o644)
	p.write(t, "/var/spool/cron/crontabs/root", jobs(t)+oldSwitch+pullEntry, 0o600)
	p.seed(t, f.config(t, "bezalel"))
	// Only the play is to write it, its owner means by that.
	if err := os.Chmod(filepath.Join(p.Root, p.home, "config.yaml"), 0o444); err != nil {
		t.Fatal(err)
	}
	p.begin(t, f, fmt.Sprintf("%x", sha256.Sum256(program)))
	t.Cleanup(func() {
		if m.Leader != 0 {
			m.Cut()
		}
	})
	if err := m.Boot("--private-network", "--hostname=vps1"); err != nil {
		need(t, err)
	}
	p.until(t, p.answers())
	return p
}

// begin makes the repository, with all that the host needs. sum is that of the program.
func (p *puller) begin(t *testing.T, f *fleet, sum string) {
	t.Helper()
	collection := filepath.Join(p.work, "collections/ansible_collections/deadman/fleet")
	if err := os.CopyFS(collection, os.DirFS("../../../ansible")); err != nil {
		t.Fatal(err)
	}
	git(t, f.dir, "init", "-q", "--bare", "-b", "main", filepath.Join(p.Root, "srv/git/timmy-config.git"))
	git(t, p.work, "init", "-q", "-b", "main")
	git(t, p.work, "remote", "add", "origin", filepath.Join(p.Root, "srv/git/timmy-config.git"))
	p.commit(t, map[string]string{"local.yml": localPlay, "group_vars/all.yml": strings.Replace(localVars, "SUM", sum, 1), configFile: f.config(t, "bezalel")})
}

// git runs git as somebody whom this machine knows nothing of.
func git(t *testing.T, dir string, words ...string) {
	t.Helper()
	cmd := exec.Command("git", words...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=alexander", "GIT_AUTHOR_EMAIL=a@example.org",
		"GIT_COMMITTER_NAME=alexander", "GIT_COMMITTER_EMAIL=a@example.org",
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(words, " "), err, out)
	}
}

// commit is a merge in the repository.
func (p *puller) commit(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(p.work, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git(t, p.work, "add", "-A")
	git(t, p.work, "commit", "-q", "-m", "merge")
	git(t, p.work, "push", "-q", "origin", "main")
}

var changes = regexp.MustCompile(`localhost +: ok=\d+ +changed=(\d+) +unreachable=0 +failed=(\d+)`)

// pull is what cron does on the host, in cron's own environment. It must come through,
// with some changes or without any.
func (p *puller) pull(t *testing.T, changed bool, words ...string) string {
	t.Helper()
	out, status := p.tryPull(t, words...)
	if m := changes.FindStringSubmatch(out); status != 0 || m == nil || m[2] != "0" || (m[1] != "0") != changed {
		t.Fatalf("status %d, want one that comes through and changed %v\n%s", status, changed, out)
	}
	return out
}

// stops is a pull that must end with a failure, and say this.
func (p *puller) stops(t *testing.T, why string, words ...string) {
	t.Helper()
	out, status := p.tryPull(t, words...)
	if m := changes.FindStringSubmatch(out); status == 0 || m == nil || m[2] != "1" || !strings.Contains(out, why) {
		t.Fatalf("status %d, want one that is stopped by %q\n%s", status, why, out)
	}
}

func (p *puller) tryPull(t *testing.T, words ...string) (string, int) {
	t.Helper()
	began := time.Now()
	out, status := p.Try("env -i HOME=/root PATH=/usr/bin:/bin LANG=C.UTF-8 ANSIBLE_PIPELINING=1 " + pullCommand + " " + strings.Join(words, " "))
	t.Logf("pull %s: %.1f s", strings.Join(words, " "), time.Since(began).Seconds())
	return out, status
}

// startup runs the play of the host's startup, which must come through.
func (p *puller) startup(t *testing.T) {
	t.Helper()
	p.run(t, "LANG=C.UTF-8 ANSIBLE_PIPELINING=1 ANSIBLE_COLLECTIONS_PATH=/srv/timmy-config/collections ansible-playbook -i localhost, -c local deadman.fleet.startup "+
		"-e deadman_agent=bezalel -e deadman_repo=/srv/git/timmy-config.git -e deadman_repo_path=wizards/bezalel")
}

// crontab must be this, but for what crontab(1) writes above it.
func (p *puller) crontab(t *testing.T, want string) {
	t.Helper()
	if diff := cmp.Diff(want, header.ReplaceAllString(p.read(t, "/var/spool/cron/crontabs/root"), "")); diff != "" {
		t.Errorf("the crontab is another:\n%s", diff)
	}
}

// runs looks whether the agent serves, and has this config, as unwritable as it was.
func (p *puller) runs(t *testing.T, config string) {
	t.Helper()
	if diff := cmp.Diff(config, p.config(t)); diff != "" {
		t.Errorf("bezalel has another config:\n%s", diff)
	}
	p.run(t, "[ $(stat -c %a "+p.home+"/config.yaml) = 444 ]")
	p.run(t, p.answers())
}

// TestPull: each host fetches and plays by itself after a merge. What the agent does not
// come up on is taken back, is not brought again by the next pull, and the next merge
// passes. Then deadman goes, and the switch that it moved aside comes back.
func TestPull(t *testing.T) {
	p := newPuller(t)
	first := p.config(t)
	guarded := jobs(t) + aside + oldSwitch + pullEntry + ourEntry
	p.pull(t, true)
	p.crontab(t, guarded)
	p.until(t, "deadman show bezalel 2>/dev/null | grep -q proven")
	p.pull(t, false)
	p.runs(t, first)

	// A merge that is good.
	second := strings.Replace(first, "claude-opus-4-6", "claude-sonnet-5", 1)
	p.commit(t, map[string]string{configFile: second})
	was := p.pid(t)
	p.pull(t, true)
	p.runs(t, second)
	p.known(t, second)
	if now := p.pid(t); now == was {
		t.Error("bezalel was not restarted")
	}

	// One that is not. The pull after it brings the same, and that is refused before the
	// agent is touched.
	p.commit(t, map[string]string{configFile: strings.Replace(second, "provider: anthropic\n", "provider: anthropic-fallback\n", 1)})
	p.stops(t, "reverted")
	p.runs(t, second)
	was = p.pid(t)
	p.stops(t, "is held")
	p.runs(t, second)
	if now := p.pid(t); now != was {
		t.Errorf("the next pull has restarted bezalel: it is %s and was %s", now, was)
	}
	third := strings.Replace(second, "temperature: 0.7", "temperature: 0.5", 1)
	p.commit(t, map[string]string{configFile: third})
	p.pull(t, true)
	p.runs(t, third)
	p.known(t, third)

	// At startup by the other play: what the same repository has is started on, and what is
	// no good is not. The next pull agrees.
	fourth := strings.Replace(third, "max_turns: 60", "max_turns: 70", 1)
	p.commit(t, map[string]string{configFile: fourth})
	p.startup(t)
	p.runs(t, fourth)
	p.known(t, fourth)
	p.commit(t, map[string]string{configFile: strings.Replace(fourth, "provider: anthropic\n", "provider: anthropic-free\n", 1)})
	p.startup(t)
	p.runs(t, fourth)
	p.commit(t, map[string]string{configFile: fourth})

	// The old switch comes back into the crontab that has our entry by now, and goes again.
	p.run(t, "deadman rivals --restore")
	p.crontab(t, jobs(t)+oldSwitch+pullEntry+ourEntry)
	p.pull(t, true)
	p.crontab(t, guarded)

	// Removed, it stays aside and is named; and it comes back if somebody asks for that
	// while there is a program to do it.
	if out := p.pull(t, true, "-e", "deadman_state=absent"); !strings.Contains(out, "/var/spool/cron/crontabs/root was moved aside by deadman and stays so") {
		t.Errorf("what stays aside is not named:\n%s", out)
	}
	p.crontab(t, jobs(t)+aside+oldSwitch+pullEntry)
	p.stops(t, "the program or its config is gone", "-e", "deadman_state=absent", "-e", "deadman_rivals_restore=true")
	p.pull(t, true)
	p.crontab(t, guarded)
	p.pull(t, true, "-e", "deadman_state=absent", "-e", "deadman_rivals_restore=true")
	p.crontab(t, jobs(t)+oldSwitch+pullEntry)
	p.runs(t, fourth)
}
