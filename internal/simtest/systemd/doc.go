// Package systemd tests deadman against a real systemd: a machine of its own,
// booted in systemd-nspawn from an image that debootstrap made. There are only
// tests in it.
package systemd
