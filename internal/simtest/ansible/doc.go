// Package ansible tests the collection in ansible/ with a real ansible-core, over SSH,
// against two machines booted in systemd-nspawn, and a real cron. There are only
// tests in it.
package ansible
