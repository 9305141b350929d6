// Package daemon is where the parts meet: it builds, from a config, one guard
// for each agent with its store, supervisor, checks and journal, and runs them
// once (check), for ever (watch) or in the foreground (run). It also carries
// people's words to whoever guards an agent, and answers their questions.
//
// One actor an agent: whoever holds agents/<a>/lock. Beside a live watch a
// check asks it, and a person's word goes to it through the inbox in the
// database; without one, the command itself acts.
package daemon
