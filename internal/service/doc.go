// Package service writes the units by which a machine's own service manager runs
// deadman: systemd's, and launchd's property list. It makes texts and command
// lines and touches nothing; whoever asked carries them out.
//
// What all of them promise to agents that deadman has started: they are not ended
// with it. systemd ends everything in a unit's cgroup unless told otherwise
// (KillMode=process), launchd everything in the job's process group
// (AbandonProcessGroup).
package service
