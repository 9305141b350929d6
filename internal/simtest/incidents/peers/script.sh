#!/bin/sh
# The watchdog that dozens of projects have: while the agent answers, its config
# is copied over the "last good" one at every look; when it does not, or is gone,
# the copy goes back and the agent is started anew. This is the clean one: it looks
# at the body where there is something to look for, and asks the deep check where
# there is one; keeps what it replaces; waits for the agent to stop before it kills
# it; keeps modes and owners; and gives a start time to come up.
set -u
url=http://127.0.0.1:{{.Port}}
period=1 timeout=1 limit=3 grace=3
pidfile={{.Dir}}/run/pid
good={{.Dir}}/good
cd {{.Dir}}/etc || exit 1

say() { echo "$(date +%T) $*"; }
alive() { [ -s "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null; }
ask() { curl -fsS --max-time "$timeout" "$url$1" 2>/dev/null; }
healthy() { ask /health | grep -q '{{.Expects}}'{{if .Ready}} && ask /ready >/dev/null{{end}}; }

# copy FROM TO: every file of the config set, by rename.
copy() {
	(cd "$1" && for file in{{range .Files}} {{.}}{{end}}; do
		[ -f "$file" ] || continue
		mkdir -p "$(dirname "$2/$file")"
		cp -p "$file" "$2/$file.new" && mv -f "$2/$file.new" "$2/$file"
	done)
}

restart() {
	if alive; then
		kill "$(cat "$pidfile")"
		for _ in 1 2 3 4 5; do alive && sleep 0.2; done
		alive && kill -9 "$(cat "$pidfile")"
	fi
	{{.Start}}
}

failures=0
while :; do
	if ! alive; then
		say "the agent is down"
		failures=$limit
	elif healthy; then
		failures=0
		copy . "$good"
	else
		failures=$((failures + 1))
		say "the agent failed $failures checks"
	fi
	if [ "$failures" -ge "$limit" ]; then
		say "restoring the last good config and restarting"
		copy . "{{.Dir}}/broken/$(date +%s)"
		copy "$good" "$PWD"
		restart
		failures=0
		sleep "$grace"
	fi
	date >{{.Dir}}/run/last-look
	sleep "$period"
done
