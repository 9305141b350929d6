package canonical

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Version is what is committed.
type Version struct {
	// Ref is the full name of the branch that it becomes the tip of.
	Ref string
	// Files are all that the commit's tree has, sorted by path.
	Files   []File
	Message string
	// Name and Mail are those of the committer, At the time.
	Name, Mail string
	At         time.Time
}

// pushTime bounds a push.
const pushTime = time.Minute

// Branch is refs/heads/ and the elements of a name, each as git takes it: what it
// does not take in names of branches becomes a hyphen.
func Branch(elements ...string) string {
	for i, e := range elements {
		e = regexp.MustCompile(`[^A-Za-z0-9._-]|\.\.|\.lock$|^\.|\.$|^-`).ReplaceAllString(e, "-")
		elements[i] = e
	}
	return "refs/heads/" + strings.Join(elements, "/")
}

// Commit makes v the tip of its branch, durably, and returns that commit and
// whether it is a new one: of files that the tip has already there is none. Neither
// index, HEAD nor work tree is touched; a branch that HEAD is on is refused. What is
// written belongs to the repository's owner. Somebody who moves the branch at the
// same time makes it fail, and nothing is overwritten. The error is an [*Error], or
// that of ctx.
func (r Repo) Commit(ctx context.Context, v Version) (commit string, fresh bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	commit, fresh, err = r.publish(ctx, v)
	var told *Error
	if err != nil && !errors.As(err, &told) {
		err = &Error{What: fmt.Sprintf("cannot commit to %s of %s", v.Ref, r.Path), Said: err.Error(), hint: "it must be a repository that its owner may write to"}
	}
	return commit, fresh, err
}

func (r Repo) publish(ctx context.Context, v Version) (string, bool, error) {
	tip, err := r.tip(ctx, v.Ref)
	if err != nil {
		return "", false, err
	}
	if tip != "" {
		var limits Limits
		for _, f := range v.Files {
			limits.Set += int64(len(f.Bytes))
			limits.Files++
		}
		limits.File = limits.Set
		// What is more than this is other than this.
		tree, err := r.read(ctx, tip, "", func(string) bool { return true }, limits)
		if err == nil && slices.EqualFunc(tree.Files, v.Files, sameFile) {
			return tip, false, nil
		}
	}
	if on, err := r.run(ctx, nil, 4<<10, r.environ(ours), "symbolic-ref", "--quiet", "HEAD"); err == nil && strings.TrimSpace(string(on)) == v.Ref {
		if bare, err := r.run(ctx, nil, 64, r.environ(ours), "rev-parse", "--is-bare-repository"); err != nil || strings.TrimSpace(string(bare)) != "true" {
			return "", false, errors.New("that branch is checked out there")
		}
	}
	if _, err := r.run(ctx, bytes.NewReader(v.stream(tip)), 1<<20, r.environ(ours), "fast-import", "--quiet", "--done", "--date-format=raw"); err != nil {
		return "", false, err
	}
	commit, err := r.tip(ctx, v.Ref)
	return commit, true, err
}

func sameFile(a, b File) bool {
	return a.Path == b.Path && a.Type == b.Type && a.Executable == b.Executable && bytes.Equal(a.Bytes, b.Bytes)
}

// tip is the commit that a branch is at, "" if there is no such branch.
func (r Repo) tip(ctx context.Context, ref string) (string, error) {
	out, err := r.run(ctx, nil, 4<<10, r.environ(ours), "for-each-ref", "--format=%(objectname) %(refname)", ref)
	for line := range strings.Lines(string(out)) {
		if name, full, _ := strings.Cut(strings.TrimSpace(line), " "); full == ref {
			return name, err
		}
	}
	return "", err
}

// stream is what fast-import reads: the whole tree, on top of tip.
func (v Version) stream(tip string) []byte {
	var b bytes.Buffer
	data := func(bytes []byte) {
		fmt.Fprintf(&b, "data %d\n", len(bytes))
		b.Write(bytes)
		b.WriteByte('\n')
	}
	plain := func(s string) string { return strings.NewReplacer("<", "", ">", "", "\n", " ", "\x00", "").Replace(s) }
	fmt.Fprintf(&b, "feature done\ncommit %s\ncommitter %s <%s> %d +0000\n", v.Ref, plain(v.Name), plain(v.Mail), v.At.Unix())
	data([]byte(v.Message))
	if tip != "" {
		fmt.Fprintf(&b, "from %s^0\n", tip)
	}
	b.WriteString("deleteall\n")
	for _, f := range v.Files {
		mode := "100644"
		switch {
		case f.Type == Link:
			mode = "120000"
		case f.Executable:
			mode = "100755"
		}
		fmt.Fprintf(&b, "M %s inline \"%s\"\n", mode, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(f.Path))
		data(f.Bytes)
	}
	b.WriteString("done\n")
	return b.Bytes()
}

// Push pushes a branch to a remote of the repository, as its owner and with the
// owner's configuration and keys. It asks nobody for anything, and forces nothing.
// No error names a password that is part of a URL.
func (r Repo) Push(ctx context.Context, remote, ref string) error {
	ctx, cancel := context.WithTimeout(ctx, pushTime)
	defer cancel()
	env, err := r.pushEnviron()
	if err != nil {
		return err
	}
	if _, err := r.run(ctx, nil, 1<<20, env, "push", "--quiet", "--", remote, ref+":"+ref); err != nil {
		said := regexp.MustCompile(`://[^/@\s]*@`).ReplaceAllString(err.Error(), "://")
		return &Error{
			What: fmt.Sprintf("cannot push %s of %s to %s", ref, r.Path, remote), Said: said,
			hint: "it is committed there, and pushed the next time; the repository's owner must be able to push without being asked for anything",
		}
	}
	return nil
}

// pushEnviron is that of the repository's owner, as far as git and ssh need it.
func (r Repo) pushEnviron() ([]string, error) {
	who, err := owner(r.Path)
	if err != nil {
		return nil, err
	}
	home := os.Getenv("HOME")
	if who != nil || home == "" {
		uid := os.Geteuid()
		if who != nil {
			uid = int(who.Uid)
		}
		if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			home = u.HomeDir
		}
	}
	env := []string{
		"PATH=" + searchPath(), "LC_ALL=C", "HOME=" + home, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "SSH_ASKPASS_REQUIRE=never",
		"GIT_CEILING_DIRECTORIES=" + dirOf(r.Path),
	}
	if agent := os.Getenv("SSH_AUTH_SOCK"); agent != "" && who == nil {
		env = append(env, "SSH_AUTH_SOCK="+agent)
	}
	own := slices.DeleteFunc(slices.Clone(ours), func(pair [2]string) bool { return pair[0] == "protocol.allow" })
	return append(env, configEnv(append(own, [2]string{"protocol.ext.allow", "never"}))...), nil
}
