// Package openclaw tests deadman and its preset against a real OpenClaw gateway
// from npm, which tools/install-openclaw brings. There are only tests in it.
package openclaw
