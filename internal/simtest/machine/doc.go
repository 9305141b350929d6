// Package machine boots a Debian machine with a real systemd, in systemd-nspawn,
// from an image that debootstrap makes once and that is kept in the user's cache.
// It takes root, and a mirror of Debian in this machine's apt sources.
package machine
