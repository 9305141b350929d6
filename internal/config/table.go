package config

// The defaults of the deadlines and limits of one agent, in one place. They
// are written as a user would write them.
const (
	defaultPeriod    = "30s"
	defaultTimeout   = "5s"
	defaultThreshold = "3"
	defaultRetry     = "1s"

	// A `deadman stop` is recorded before it acts; a stop by other means is
	// seen within this grace.
	defaultGoneGrace = "3s"
	defaultKillDelay = "10s"
	defaultProbation = "1m"
	// Starting took 240 s after an upgrade in incident 64, so the longest
	// start that is not yet a death is far longer than the deadline of a
	// recovery, which starts on bytes that started before.
	defaultHealthyDeadline = "2m"
	defaultStartMax        = "10m"
	defaultDriverTimeout   = "30s"
	defaultSettle          = "5s"

	defaultFileLimit  = "16MiB"
	defaultSetLimit   = "64MiB"
	defaultFilesLimit = "10000"

	defaultBurst         = "5"
	defaultInterval      = "10m"
	defaultBackoffDelay  = "1s"
	defaultBackoffFactor = "2"
	defaultBackoffLimit  = "15m"
)

var formatNames = []string{"yaml", "json", "json5", "toml", "ini", "env", "opaque"}

// fileKeys are the keys at the top of the main file. A drop-in has `agents`
// only.
var fileKeys = []key{
	{
		path: "state-dir", kind: absPath, defNote: "`/var/lib/deadman` for root, else `$XDG_STATE_HOME/deadman`",
		why: "Snapshots, log and machine state live here, one directory an agent.",
	},
	{
		path: "request-log", kind: absPath, defNote: "`request_log.db` in `state-dir`",
		why: "The SQLite file that other programs share; deadman adds rows and creates it only if absent.",
	},
	{
		path: "defaults", kind: group,
		why: "Any key of an agent, for every agent here and in `conf.d`. What an agent says itself wins.",
	},
	{
		path: "agents", kind: group, shape: named,
		why: "One entry for each guarded program. The name becomes a directory.",
	},
}

// agentKeys are the keys of one agent, and of defaults.
var agentKeys = []key{
	{
		path: "preset", kind: choice, enum: presetNames, defNote: "none",
		why: "Fills in, for a well-known agent, what neither the agent nor `defaults` says: groups key by key; a list, a map of plain values, a check and a supervisor as a whole. `deadman presets` shows each.",
	},

	{
		path: "config", kind: group, shape: oneOrMany, required: true,
		why: "The files that are captured and put back together: one set, or a list of sets.",
	},
	{
		path: "config.label", kind: name, defNote: "none; required with more than one set",
		why: "Tells the sets of one agent apart in messages and in the store.",
	},
	{
		path: "config.root", kind: absPath, required: true,
		why: "The directory of the set. Written out in full: under cron or sudo `~` is another home.",
	},
	{
		path: "config.files", kind: pattern, shape: list, required: true, nonEmpty: true,
		why: "What belongs to the set. `*`, `?` and `[a-z]` stay within a name, `**` stands for any number of directories.",
	},
	{
		path: "config.exclude", kind: pattern, shape: list, def: "[]",
		why: "Wins over `files`. Tokens and sessions belong here: an old one brought back can lock the agent out. A pattern without a slash matches at any depth.",
	},
	{
		path: "config.preserve", kind: keyRef, shape: list, def: "[]",
		why: "Keys that the agent writes itself: ignored in comparisons and carried over by a rollback. In YAML, JSON, JSON5 and env files.",
	},
	{
		path: "config.follow", kind: absPath, shape: list, def: "[]",
		why: "Directories that links may lead into. Any other link is kept as a link and its target never read.",
	},
	{
		path: "config.reads", kind: pattern, shape: list, def: "[]",
		why: "Files that another agent owns: captured and compared, never restored.",
	},
	{
		path: "config.settle", kind: duration, def: defaultSettle, min: "0", max: "10m",
		why: "How long nothing may change before a capture counts, so that half a save is never kept.",
	},
	{
		path: "config.formats", kind: choice, shape: named, enum: formatNames, def: "{}",
		why: "The syntax of a file whose name says another, e.g. `{openclaw.json: json5}`.",
	},

	{
		path: "version", kind: group, oneForm: true, defNote: "the executable's inode, size and time",
		why: "How to learn the agent's version. A proof belongs to a version.",
	},
	{
		path: "version.exec", form: "exec", kind: word, shape: command,
		why: "A command that prints it. `{root}` in an argument is the root of the first set.",
	},
	{
		path: "version.file", form: "file", kind: absPath,
		why: "A file that holds it.",
	},
	{
		path: "validate", kind: word, shape: command, defNote: "syntax and guards only",
		why: "A command that ends with status 0 if the agent would load the config. `{dir}` in an argument is a copy of the set to judge, `{root}` the root of the first set.",
	},

	{
		path: "supervisor", kind: group, oneForm: true, required: true,
		why: "What owns the agent's process. Exactly one form.",
	},
	{
		path: "supervisor.child", form: "child", kind: word, shape: command,
		why: "deadman itself starts the process and owns it.",
	},
	{
		path: "supervisor.dir", form: "child", kind: absPath, defNote: "deadman's own",
		why: "With `child`: the directory to start it in.",
	},
	{
		path: "supervisor.env", form: "child", kind: word, shape: named, def: "{}", secret: true,
		why: "With `child`: variables added to deadman's own environment. Nothing is expanded.",
	},
	{
		path: "supervisor.command", form: "command", kind: group,
		why: "A pair of commands starts and stops the process.",
	},
	{
		path: "supervisor.command.start", kind: word, shape: command, required: true,
		why: "Starts it. Must return; the process must outlive it.",
	},
	{
		path: "supervisor.command.stop", kind: word, shape: command, defNote: "signals",
		why: "Stops it.",
	},
	{
		path: "supervisor.command.reload", kind: word, shape: command, defNote: "none",
		why: "Has it read its config anew; ends with status 0 if that was taken. For `deadman apply --reload`.",
	},
	{
		path: "supervisor.process", form: "command", kind: group, oneForm: true, required: true,
		why: "With `command`: how to find the process. Never a substring match.",
	},
	{
		path: "supervisor.process.pid-file", form: "pid-file", kind: absPath,
		why: "A file that holds the pid.",
	},
	{
		path: "supervisor.process.port", form: "port", kind: integer, min: "1", max: "65535",
		why: "Whoever listens on this TCP port.",
	},
	{
		path: "supervisor.process.argv", form: "argv", kind: word, shape: command,
		why: "The one process with exactly this command line.",
	},
	{
		path: "supervisor.systemd", form: "systemd", kind: text,
		why: "A service of systemd, by the name of its unit.",
	},
	{
		path: "supervisor.user", form: "systemd", kind: boolean, def: "false",
		why: "With `systemd`: a unit of your own, as `systemctl --user` shows it.",
	},
	{
		path: "supervisor.launchd", form: "launchd", kind: text, later: true,
		why: "A launchd job.",
	},
	{
		path: "supervisor.domain", form: "launchd", kind: text, defNote: "`system` for root, else `gui/UID`",
		why: "With `launchd`: its domain.",
	},
	{
		path: "supervisor.docker", form: "docker", kind: text,
		why: "A container on this machine, by name.",
	},
	{
		path: "supervisor.socket", form: "docker", kind: absPath, defNote: "`/run/docker.sock`, or else podman's",
		why: "With `docker`: the socket of the engine's API.",
	},
	{
		path: "supervisor.runit", form: "runit", kind: absPath,
		why: "A runit service directory.",
	},
	{
		path: "supervisor.supervisord", form: "supervisord", kind: text,
		why: "A supervisord program, `NAME` or `GROUP:NAME`.",
	},
	{
		path: "supervisor.socket", form: "supervisord", kind: absPath, defNote: "`/run/supervisor.sock`, or where else it usually is",
		why: "With `supervisord`: the socket of its `[unix_http_server]`.",
	},
	{
		path: "supervisor.tmux", form: "tmux", kind: text,
		why: "A window of tmux, SESSION:WINDOW; a number is an index.",
	},
	{
		path: "supervisor.command", form: "tmux", kind: word, shape: command, required: true,
		why: "With `tmux`: what runs in it. No shell reads it.",
	},
	{
		path: "supervisor.socket", form: "tmux", kind: absPath, defNote: "the user's",
		why: "With `tmux`: the socket of the tmux server, where it is another user's or started with `-L` or `-S`.",
	},

	{
		path: "checks", kind: group, shape: named, oneForm: true, defNote: "the process itself",
		why: "Tests of health, each of exactly one kind.",
	},
	{
		path: "checks.*.level", kind: choice, enum: []string{"alive", "ready"}, def: "alive",
		why: "What the check is evidence of: that the process serves, or that it can do its work.",
	},
	{
		path: "checks.*.timeout", kind: duration, defNote: "`timeout` of the agent", min: "100ms", max: "10m",
		why: "For a check that is slower than the others. At most `period`.",
	},
	{
		path: "checks.*.http", form: "http", kind: group,
		why: "One HTTP request.",
	},
	{
		path: "checks.*.http.url", kind: url, required: true,
		why: "Where to ask. A password in it would reach the log: use `headers`.",
	},
	{
		path: "checks.*.http.status", kind: integer, shape: list, nonEmpty: true, def: "[200]", min: "100", max: "599",
		why: "The answers that are healthy.",
	},
	{
		path: "checks.*.http.method", kind: choice, enum: []string{"GET", "HEAD", "POST", "PUT", "OPTIONS"}, def: "GET",
		why: "The request's method.",
	},
	{
		path: "checks.*.http.headers", kind: word, shape: named, def: "{}", secret: true,
		why: "Headers to send.",
	},
	{
		path: "checks.*.http.body", kind: text, def: `""`, secret: true,
		why: "What to send, with `POST` or `PUT`.",
	},
	{
		path: "checks.*.http.json", kind: scalar, shape: named, def: "{}",
		why: "Values that the answer must have, by key path. Shows an agent that serves from its built-in defaults.",
	},
	{
		path: "checks.*.tcp", form: "tcp", kind: group,
		why: "One TCP connection. Weaker than `http`: a process that hangs still accepts.",
	},
	{
		path: "checks.*.tcp.address", kind: address, required: true,
		why: "Where to connect.",
	},
	{
		path: "checks.*.exec", form: "exec", kind: group,
		why: "One command.",
	},
	{
		path: "checks.*.exec.command", kind: word, shape: command, required: true,
		why: "Healthy if it ends with status 0.",
	},
	{
		path: "checks.*.heartbeat", form: "heartbeat", kind: group,
		why: "A file that the agent touches. A stale one alerts and never kills.",
	},
	{
		path: "checks.*.heartbeat.file", kind: anyPath, required: true,
		why: "The file. A relative path starts at the root of the first set.",
	},
	{
		path: "checks.*.heartbeat.max-age", kind: duration, def: "90s", min: "1s", max: "168h",
		why: "Older than this is stale.",
	},
	{
		path: "checks.*.process", form: "process", kind: group,
		why: "There is a process. Takes no keys: `process: {}`.",
	},

	{
		path: "period", kind: duration, def: defaultPeriod, min: "1s", max: "24h",
		why: "From one round of checks to the next.",
	},
	{
		path: "timeout", kind: duration, def: defaultTimeout, defNote: "`5s`, or `period` if that is shorter", min: "100ms", max: "10m",
		why: "For one attempt of one check. At most `period`.",
	},
	{
		path: "threshold", kind: integer, def: defaultThreshold, min: "1", max: "100",
		why: "Unhealthy probes in a row that make a death, and healthy ones that make a recovery.",
	},
	{
		path: "retry", kind: duration, def: defaultRetry, min: "10ms", max: "5m",
		why: "Between the probes that confirm a death.",
	},
	{
		path: "gone-grace", kind: duration, def: defaultGoneGrace, min: "0", max: "5m",
		why: "How long a process stays away before it is believed gone.",
	},
	{
		path: "kill-delay", kind: duration, def: defaultKillDelay, min: "0", max: "10m",
		why: "From SIGTERM to SIGKILL.",
	},
	{
		path: "probation", kind: duration, def: defaultProbation, min: "1s", max: "168h",
		why: "How long health must last before a start counts as proof.",
	},
	{
		path: "healthy-deadline", kind: duration, def: defaultHealthyDeadline, min: "1s", max: "24h",
		why: "How long a recovery waits for health before it tries the next thing. At least `threshold` times `retry`.",
	},
	{
		path: "start-max", kind: duration, def: defaultStartMax, min: "1s", max: "24h",
		why: "A process younger than this that has never answered is starting, not dead.",
	},
	{
		path: "start-timeout", kind: duration, def: defaultDriverTimeout, min: "100ms", max: "1h",
		why: "For the supervisor's start to return.",
	},
	{
		path: "stop-timeout", kind: duration, def: defaultDriverTimeout, min: "100ms", max: "1h",
		why: "For the supervisor's stop to return.",
	},
	{
		path: "planned-exits", kind: integer, shape: list, def: "[]", min: "0", max: "255",
		why: "Exit statuses that are not a death.",
	},
	{
		path: "log", kind: absPath, defNote: "none",
		why: "A file with the agent's last output. Its end is kept with each incident, and `explain` shows it.",
	},
	{
		path: "safe", kind: absPath, defNote: "off",
		why: "A directory with a minimal config, laid out as `config.root` is: the last rung of a recovery. What it has not is the newest proven version's.",
	},

	{
		path: "limits", kind: group,
		why: "What a capture may take. Over a limit nothing is captured, and that is reported.",
	},
	{
		path: "limits.file", kind: size, def: defaultFileLimit, min: "1B", max: "1GiB",
		why: "In one file.",
	},
	{
		path: "limits.set", kind: size, def: defaultSetLimit, min: "1B", max: "16GiB",
		why: "In all sets of the agent. At least `limits.file`.",
	},
	{
		path: "limits.files", kind: integer, def: defaultFilesLimit, min: "1", max: "1000000",
		why: "How many files.",
	},

	{
		path: "retention", kind: group,
		why: "What is kept beside pinned snapshots and those of an open incident.",
	},
	{
		path: "retention.newest", kind: integer, def: "20", min: "1", max: "10000",
		why: "The newest snapshots.",
	},
	{
		path: "retention.proven", kind: integer, def: "3", min: "1", max: "1000",
		why: "The newest proven ones, the known good included.",
	},

	{
		path: "across-versions", kind: boolean, def: "false",
		why: "Roll back even if the agent's version changed with its config.",
	},

	{
		path: "recovery", kind: group,
		why: "How far deadman may go, and how fast.",
	},
	{
		path: "recovery.mode", kind: choice, enum: []string{"enforce", "observe"}, def: "enforce",
		why: "`observe` does everything but touch the agent, and records what it would have done.",
	},
	{
		path: "recovery.first", kind: choice, enum: []string{"auto", "rollback", "restart"}, def: "auto",
		why: "Whether the live config gets one start before a rollback. `auto` decides by what is known of it.",
	},
	{
		path: "recovery.start-limit-burst", kind: integer, def: defaultBurst, min: "1", max: "100",
		why: "At most so many starts in `start-limit-interval`.",
	},
	{
		path: "recovery.start-limit-interval", kind: duration, def: defaultInterval, min: "1s", max: "24h",
		why: "Only time empties this window.",
	},
	{
		path: "recovery.backoff-delay", kind: duration, def: defaultBackoffDelay, min: "10ms", max: "1h",
		why: "The first gap between starts.",
	},
	{
		path: "recovery.backoff-factor", kind: number, def: defaultBackoffFactor, min: "1", max: "10",
		why: "Each gap is so many times the one before.",
	},
	{
		path: "recovery.backoff-limit", kind: duration, def: defaultBackoffLimit, min: "10ms", max: "24h",
		why: "No gap is longer. At least `backoff-delay`.",
	},

	{
		path: "follow-write", kind: choice, enum: []string{"record", "refuse"}, def: "record",
		why: "What a rollback does where a followed link leads into a git work tree: write and record it, or alert instead.",
	},

	{
		path: "notify", kind: target, shape: list, def: "[]", secret: true,
		why: "Where messages go: `http` and `https` are webhooks, and `discord`, `googlechat`, `gotify`, `matrix`, `mattermost`, `ntfy`, `pushover`, `slack`, `smtp` and `telegram` URLs are written as for shoutrrr. `deadman doctor` says whether each can be used.",
	},
	{
		path: "ping", kind: url, secret: true,
		why: "A URL to call after every round, so that a dead deadman is missed; with `/start` after its path when a round begins, with `/fail` when it did not end well.",
	},
	{
		path: "canonical", kind: group,
		why: "The version of the config in source control: a rung of a recovery after every stored one, and what `deadman drift` compares with. git runs as the repository's owner, and goes to no network.",
	},
	{
		path: "canonical.repo", kind: absPath, required: true,
		why: "A git repository on this machine: a clone or a bare one.",
	},
	{
		path: "canonical.ref", kind: text, def: "origin/main",
		why: "A branch, tag or commit, as it was fetched last.",
	},
	{
		path: "canonical.path", kind: relPath, def: `""`,
		why: "The directory in it that is laid out as `config.root` is; with several sets each is beneath its label, or all of it is the first set's.",
	},
	{
		path: "publish", kind: group,
		why: "Commits members of the known good to the branch `deadman/HOST/AGENT` of a repository: after each promotion, and with `deadman publish`. Neither index, `HEAD` nor work tree of it is touched.",
	},
	{
		path: "publish.repo", kind: absPath, required: true,
		why: "A git repository on this machine, bare or not; it may be that of `canonical`.",
	},
	{
		path: "publish.files", kind: pattern, shape: list, required: true, nonEmpty: true,
		why: "Which members, by their names in the store (with several sets: beneath the label). What is published is readable for whoever can read the repository: list no file with secrets. A pattern that an `.env` would match is refused.",
	},
	{
		path: "publish.push", kind: text, defNote: "none",
		why: "The remote that `deadman publish --push` pushes the branch to, and that every publication after a promotion is pushed to.",
	},
}
