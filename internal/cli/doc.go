// Package cli is the program as a person sees it: one file a command, with its
// help, its flags, what it prints and how it exits. Everything it does, it has
// package daemon do.
//
// What is promised: every command's help lists its exit statuses, docs/cli.md
// is written from that help, and print.go says what is printed where. Signals
// and the terminal are handled here and nowhere below.
//
// Left out: deciding anything. A command that needs an if about an agent is one
// that package daemon lacks a method for.
package cli
