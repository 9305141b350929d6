// Package rival finds what else restarts, stops, starts or rewrites the agents
// that deadman guards, and moves it aside so that it can be put back.
//
// A rival is found by what it does and not by what it is called. Whatever the
// machine runs by itself (cron, anacron, systemd, launchd, Monit, supervisord,
// the agents' own schedules, and what runs now) is read as the command that it
// is: shell is parsed, with its variables, functions and loops; a script that a
// command calls is read and judged in turn. Each command that would act on an
// agent is an [Act] with a typed [Reason] and how sure it is. What only looks,
// tells, copies away, or acts on something else is no rival; nor is what
// rightly owns the agent's process, nor deadman under the same config.
//
// Looking runs nothing of what it reads, and reads safely: only regular files,
// within a size, never a FIFO or a device. No text of theirs is repeated: an Act
// names a verb and the agent's own handle, since a command line may hold a
// secret.
//
// Disabling is a plan first. What it is about to do is in the journal, durably,
// before it is done; a file is compared with what was judged in the step that
// replaces it; lines of a shared file are commented out, everything else is
// renamed, so that restoring gives back the same bytes, owner and mode. A file
// that somebody has changed meanwhile is left alone, in both directions; of a shared
// one that is to be restored, the lines that were commented out, since others go on
// writing in it.
//
// It leaves out: other machines (ssh, docker exec), what is only typed into a
// shell, binary property lists, and programs that cannot be read.
package rival
