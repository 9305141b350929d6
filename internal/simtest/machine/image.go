package machine

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// packages are in the image beside what debootstrap always takes.
const packages = "systemd,systemd-sysv,dbus,libpam-systemd,dbus-user-session,cron,strace"

// Image is the directory of the image with these Debian packages more, which is made
// once and kept. An error says what this machine lacks.
func Image(more ...string) (string, error) {
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("needs root, to boot a machine in systemd-nspawn")
	}
	for _, program := range []string{"debootstrap", "systemd-nspawn", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("needs %s (Debian packages debootstrap, systemd-container, util-linux)", program)
		}
	}
	mirror, suite := source()
	if mirror == "" {
		return "", fmt.Errorf("needs a Debian whose apt sources name a mirror, for the image")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	include := strings.Join(append([]string{packages}, more...), ",")
	sum := sha256.Sum256([]byte(suite + include))
	dir := filepath.Join(cache, "deadman-test", fmt.Sprintf("systemd-%x", sum[:4]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	if out, err := exec.Command("debootstrap", "--variant=minbase", "--include="+include, suite, temp, mirror).CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot make the image: %v\n%s", err, out[max(0, len(out)-2000):])
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return "", err
	}
	return dir, os.Rename(temp, dir)
}

// source is where this machine gets its Debian from: the first mirror in its apt
// sources that has the whole of its suite.
func source() (mirror, suite string) {
	release, _ := os.ReadFile("/etc/os-release")
	if m := regexp.MustCompile(`(?m)^VERSION_CODENAME=(\w+)`).FindSubmatch(release); m != nil {
		suite = string(m[1])
	}
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	for _, file := range append([]string{"/etc/apt/sources.list"}, files...) {
		text, _ := os.ReadFile(file)
		for stanza := range strings.SplitSeq(string(text), "\n\n") {
			uri := regexp.MustCompile(`(?m)^URIs:\s*(\S+)`).FindStringSubmatch(stanza)
			has := regexp.MustCompile(`(?m)^Suites:(?:.*\s)?` + suite + `(?:\s|$)`).MatchString(stanza)
			if uri != nil && has {
				return uri[1], suite
			}
		}
		line := regexp.MustCompile(`(?m)^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+` + suite + `\s+main`).FindSubmatch(text)
		if line != nil {
			return string(line[1]), suite
		}
	}
	return "", suite
}
