package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// configFiles asks whether anybody but root can say what root runs: a config names
// commands. For other users the state directory is what is examined.
func (x *examination) configFiles() {
	path := x.d.opts.ConfigPath
	if os.Geteuid() != 0 || path == "" {
		return
	}
	const subject = "config"
	n := len(x.findings)
	dropIns, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "conf.d", "*.yaml")) // a missing one is none
	for _, one := range append([]string{path, filepath.Join(filepath.Dir(path), "conf.d"), filepath.Dir(path)}, dropIns...) {
		x.trusted(subject, one, false)
	}
	// Whoever can rename what is above can put another config there. A sticky
	// directory lets nobody rename what is root's; beside the config they could still
	// make a conf.d.
	seen := map[string]bool{filepath.Dir(path): true}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(real(path))} {
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if !seen[dir] {
				seen[dir] = true
				x.trusted(subject, dir, true)
			}
		}
	}
	if !x.worse(n) {
		x.ok(subject, "nobody but root can change "+path)
	}
}

// trusted finds who else can write what is at path, if anything is there.
func (x *examination) trusted(subject, path string, sticky bool) {
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	const why = "whoever can write it has deadman run their commands as root"
	mode := info.Mode().Perm()
	switch {
	case stat.Uid != 0:
		x.bad(subject, fmt.Sprintf("%s belongs to user %d: %s", path, stat.Uid, why), "chown root "+path)
	case mode&0o002 != 0 && !(sticky && info.Mode()&os.ModeSticky != 0):
		x.bad(subject, fmt.Sprintf("%s has mode %04o: %s", path, mode, why), "chmod o-w "+path)
	case mode&0o020 != 0 && stat.Gid != 0 && !(sticky && info.Mode()&os.ModeSticky != 0):
		x.bad(subject, fmt.Sprintf("%s has mode %04o and group %d: %s", path, mode, stat.Gid, why), "chmod g-w "+path)
	}
}
