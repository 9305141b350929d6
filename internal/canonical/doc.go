// Package canonical reads a config out of source control, and publishes one to
// it: a git repository on this machine, by way of the git binary.
//
// [Repo.Read] returns the files that one commit has in a directory. It looks at
// objects alone (rev-parse, ls-tree, cat-file), so that neither index nor work
// tree is read, let alone touched, and goes to no network. [Repo.Commit] makes
// files the tip of a branch of their own by fast-import, as durable as git can make
// it, and touches neither index, HEAD nor work tree; [Repo.Push] takes that branch to
// a remote.
//
// A repository belongs to somebody, who may be an agent, while we may be root.
// So git runs as the owner of the repository, with an environment and
// configuration of ours; what a hostile configuration could have it run (hooks,
// a file system monitor, filters, a promisor remote) is off, output is bounded,
// and so is the time.
//
// Left out on purpose: what the files become part of (package snapshot composes,
// daemon asks for it), and whether they are any good (package validate).
package canonical
