package attack_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attackerID is the user and group of the attacker: nobody's.
const attackerID = 65534

// attacker is what a user without rights can do to its own directories.
type attacker struct {
	random *rand.Rand
	base   string
	worlds int
	made   int
}

// attackMain is the attacker's process: arguments are the base directory, the
// number of worlds, and a seed. It ends with its standard input.
func attackMain() {
	base, worlds, seed := os.Args[1], number(os.Args[2]), number(os.Args[3])
	if os.Geteuid() == 0 {
		must(syscall.Setgroups(nil))
		must(syscall.Setgid(attackerID))
		must(syscall.Setuid(attackerID))
	}
	syscall.Umask(0)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	a := &attacker{random: rand.New(rand.NewPCG(uint64(seed), 0)), base: base, worlds: worlds}
	fmt.Println("attacking")
	for {
		a.storm(filepath.Join(base, "w"+strconv.Itoa(a.random.IntN(worlds))))
		time.Sleep(time.Duration(a.random.IntN(1000)) * time.Microsecond) // or nobody else gets a turn on a small machine
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	must(err)
	return n
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// victims are what is changed for something else; the first ones are likelier.
var victims = []string{
	"home/config.yaml", "home/conf.d", "home/conf.d/a.yaml", "home/conf.d/b.yaml",
	"home/deep", "home/deep/x", "home/deep/x/c.json", "home/.env", "home/plain.yaml", "home/linked.yaml",
	"checkout/linked.yaml", "checkout", "home",
}

// storm attacks one world for a while: a name is exchanged with what was planted
// for it, as fast as the kernel can, or with a pause, because what is there for a
// moment longer is found by another piece of the code.
func (a *attacker) storm(world string) {
	if a.random.IntN(20) == 0 {
		a.clear(world)
	}
	switch n := a.random.IntN(60); {
	case n == 0:
		a.shower(world)
	case n < 5:
		a.names(world)
	case n < 15:
		a.meddle(world)
	default:
		victim := world + "/" + victims[min(a.random.IntN(len(victims)), a.random.IntN(len(victims)+4))%len(victims)]
		planted, err := a.plant(world, victim)
		if err != nil {
			break
		}
		pace := a.random.IntN(3)
		for range 1 + a.random.IntN(60) {
			_ = unix.Renameat2(unix.AT_FDCWD, victim, unix.AT_FDCWD, planted, unix.RENAME_EXCHANGE)
			for range pace * a.random.IntN(200) {
				_ = unix.Access(victim, 0)
			}
		}
		if a.random.IntN(2) == 0 { // or else whichever is there stays
			_ = unix.Renameat2(unix.AT_FDCWD, victim, unix.AT_FDCWD, planted, unix.RENAME_NOREPLACE)
		}
	}
	if a.random.IntN(4) > 0 {
		a.heal(world)
	}
}

// fresh is a new name in the attacker's own place.
func (a *attacker) fresh(world string) string {
	a.made++
	return fmt.Sprintf("%s/stash/%d", world, a.made)
}

// plant makes what a victim will be exchanged with.
func (a *attacker) plant(world, victim string) (string, error) {
	name := a.fresh(world)
	out := a.base + "/outside"
	base := filepath.Base(victim)
	pick := func(list ...string) string { return list[a.random.IntN(len(list))] }
	// Where the same names are as in the config.
	place := pick(out+"/tree", out+"/twin", world+"/private", world+"/home/hidden", a.base+"/state")
	switch a.random.IntN(20) {
	case 0, 1: // a file that only root may read, and others
		return name, os.Symlink(pick(out+"/shadow", out+"/public", out+"/shared", "/proc/self/environ", "/dev/zero", "/proc/kmsg", "nowhere"), name)
	case 2, 3, 4:
		return name, os.Symlink(place+"/"+base, name)
	case 5, 6: // for a directory, and for the root itself
		return name, os.Symlink(pick(place, place+"/conf.d", "/", "/proc/self/root"+place), name)
	case 7: // beneath the root, and back out of it
		return name, os.Symlink(pick("hidden", "hidden/"+base, "../hidden", "../hidden/"+base, "../private", "../../outside/tree", "../../../outside/tree", "."), name)
	case 8: // a chain, or a ring
		last := pick(place+"/"+base, name)
		for range a.random.IntN(45) {
			next := a.fresh(world)
			if err := os.Symlink(last, next); err != nil {
				return "", err
			}
			last = next
		}
		return name, os.Symlink(last, name)
	case 9, 10: // what the kernel lets it give another name
		return name, os.Link(pick(out+"/shared", out+"/twin/shared/"+base), name)
	case 11:
		return name, unix.Mkfifo(name, 0o666)
	case 12:
		return name, unix.Mknod(name, unix.S_IFSOCK|0o666, 0)
	case 13: // devices are there from the beginning: it could not make any
		return world + "/stash/" + pick(devices...), nil
	case 14, 15:
		return name, a.dir(name, pick(place, out+"/tree", world+"/home/hidden"))
	case 16: // sparse, and huge
		return name, a.file(name, []byte("a: 1\n"), pick("1073741824", "10737418240", "70000", "200000"))
	case 17: // bigger than its limit
		return name, a.file(name, []byte(strings.Repeat("a: many\n", 1+a.random.IntN(20000))), "")
	case 18:
		return name, a.file(name, fmt.Appendf(nil, "a: %d\n", a.random.Uint64()), "")
	}
	if err := a.file(name, []byte(good[strings.TrimPrefix(victim, world+"/home/")]), ""); err != nil {
		return "", err
	}
	return name, os.Chmod(name, []os.FileMode{0, 0o200, 0o777 | os.ModeSetuid, 0o400}[a.random.IntN(4)])
}

// file makes a new file, sparse up to size if that is given.
func (a *attacker) file(name string, data []byte, size string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && size != "" {
		n, _ := strconv.ParseInt(size, 10, 64)
		err = f.Truncate(n)
	}
	return errors.Join(err, f.Close())
}

// dir makes a directory whose entries lead to place.
func (a *attacker) dir(name, place string) error {
	if err := os.Mkdir(name, 0o755); err != nil {
		return err
	}
	if a.random.IntN(3) == 0 {
		return nil
	}
	var errs []error
	for _, entry := range []string{"a.yaml", "b.yaml", "config.yaml", "conf.d", "x", "c.json", "linked.yaml"} {
		switch a.random.IntN(4) {
		case 0:
			errs = append(errs, os.Symlink(place+"/"+entry, name+"/"+entry))
		case 1:
			errs = append(errs, unix.Mkfifo(name+"/"+entry, 0o666))
		case 2:
			errs = append(errs, a.file(name+"/"+entry, []byte("a: 1\n"), ""))
		}
	}
	return errors.Join(errs...)
}

// names gives files names that are hard to write down.
func (a *attacker) names(world string) {
	for _, name := range []string{"new\nline.yaml", "bad-\xff\xfe.yaml", strings.Repeat("n", 250) + ".yaml", "-rf.yaml", "\x1b[2J.yaml"} {
		path := world + "/home/conf.d/" + name
		switch a.random.IntN(4) {
		case 0:
			_ = unix.Mkfifo(path, 0o666)
		case 1:
			_ = os.Symlink(a.base+"/outside/shadow", path)
		default:
			_ = a.file(path, []byte("a: 1\n"), "")
		}
	}
}

// shower makes more files than the limit, and directories deeper than it.
func (a *attacker) shower(world string) {
	dir := world + "/home/conf.d/"
	if a.random.IntN(2) == 0 {
		dir = world + "/home/deep/"
		for range 80 {
			dir += "d/"
			_ = os.Mkdir(dir, 0o755)
		}
		_ = a.file(dir+"deep.json", []byte("{}"), "")
		return
	}
	for i := range 2 * limits.Files {
		_ = a.file(dir+"many-"+strconv.Itoa(i)+".yaml", nil, "")
	}
}

// meddle changes what deadman has staged, for as long as it is there.
func (a *attacker) meddle(world string) {
	for range 1 + a.random.IntN(20) {
		dir := world + "/" + []string{"home", "home/conf.d", "home/deep/x", "checkout"}[a.random.IntN(4)]
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			path := dir + "/" + e.Name()
			if !strings.HasPrefix(e.Name(), ".deadman-") {
				continue
			}
			planted := a.fresh(world)
			switch a.random.IntN(5) {
			case 0:
				_ = os.Link(a.base+"/outside/shared", planted)
			case 1:
				_ = os.Link(a.base+"/outside/twin/shared/config.yaml", planted)
			case 2:
				_ = os.Symlink(a.base+"/outside/shadow", planted)
			case 3:
				_ = unix.Mkfifo(planted, 0o666)
			case 4:
				_ = os.Remove(path)
				continue
			}
			_ = os.Rename(planted, path)
		}
	}
}

// heal puts the good config in place, as far as the attacker cares to.
func (a *attacker) heal(world string) {
	home := world + "/home"
	if info, err := os.Lstat(home); err != nil || !info.IsDir() || !hasHidden(home) {
		// The root was changed for something else: whatever has the canaries in it
		// is the root.
		entries, _ := os.ReadDir(world + "/stash")
		for _, e := range entries {
			if e.IsDir() && hasHidden(world+"/stash/"+e.Name()) {
				_ = os.Rename(home, a.fresh(world))
				_ = os.Rename(world+"/stash/"+e.Name(), home)
			}
		}
	}
	if info, err := os.Lstat(world + "/checkout"); err != nil || !info.IsDir() {
		_ = os.Rename(world+"/checkout", a.fresh(world))
		_ = os.Mkdir(world+"/checkout", 0o755)
	}
	if a.random.IntN(4) == 0 {
		return
	}
	_ = makeGood(world, func() string { return a.fresh(world) })
}

func hasHidden(home string) bool {
	info, err := os.Lstat(home + "/hidden/config.yaml")
	return err == nil && info.Mode().IsRegular()
}

// clear removes what has gathered. Never through a link: the canaries are there
// to be left alone.
func (a *attacker) clear(world string) {
	a.heal(world)
	entries, _ := os.ReadDir(world + "/stash")
	for _, e := range entries {
		path := world + "/stash/" + e.Name()
		if slices.Contains(devices, e.Name()) || hasHidden(path) {
			continue
		}
		_ = os.RemoveAll(path)
	}
	for _, dir := range []string{"home", "home/conf.d", "home/deep"} {
		dir = world + "/" + dir
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			continue
		}
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			known := e.Name() == "hidden" || e.Name() == "conf.d" || e.Name() == "deep" || e.Name() == "x"
			if !known && !strings.HasPrefix(e.Name(), ".deadman-") || strings.HasPrefix(e.Name(), ".deadman-aside") {
				_ = os.RemoveAll(dir + "/" + e.Name())
			}
		}
	}
}
