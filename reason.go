package deadman

// Reason is the typed explanation attached to every decision. The list is
// closed; each entry's Rule is shown by `deadman explain`.
type Reason uint8

const (
	ReasonUnset Reason = iota

	// Of captures and promotions.
	NewBytes
	FirstCapture
	LongestHeld
	StartProven
	VersionProven
	AcceptedByPerson
	RecoveryEnded

	// Of a death.
	ProcessGone
	ChecksUnhealthy
	RestartLimitPassed
	CrashLoop
	NotReady

	// Of a decision to restart only.
	LiveIsKnownGood
	PermissionDiffers
	OutsideCause
	VersionAndConfigChanged
	ChangedAfterDeath
	LiveHeldUnderHealth
	NewBoot
	LiveFirst
	NothingStored
	CannotKeep
	CannotRestore
	StartedByPerson

	// Of a decision to roll back.
	LiveInvalid
	LiveIsBad
	LiveUnproven
	LiveFailed
	RollbackFirst
	KnownGoodDemoted
	NextOlder
	Relapse
	RolledBackByPerson
	RestoredByPerson
	NeverReady
	TrialFailed
	DiedArmed
	ArmExpired
	Canonical
	SafeConfig

	// Of the end of a ladder.
	Exhausted

	// Of waiting.
	Backoff
	StartWindowFull
	StopFailed
	RestoreIncomplete

	// Of outcomes.
	Verified
	VerifiedNotReady
	StartFailed
	DiedInVerify
	DeadlinePassed
	DiedInProbation
	ProbationPassed
	ReloadFailed
	TrialPassed
	TrialRefused
	TrialEnded
	AppliedIdle
	Cured
	CuredThrice

	// Of alerts that change nothing.
	CandidateHeld
	KnownGoodLost
	NotCaptured
	BrokenUnderGreen
	HeldVersionBack
	UnknownTooLong
	SomeChecksUnhealthy
	ReadyLost
	ForeignStart
	RivalStarts
	WouldAct
	CanonicalSkipped
	SafeSkipped

	// Of a person's word, or another's deed that is left alone.
	StoppedByPerson
	StoppedBySupervisor
	RestartedBySupervisor
	PausedByPerson
	ResumedByPerson
	PauseEnded
	AppliedByPerson
	ArmedByPerson
	ConfirmedByPerson
	ArmUnchanged
	ArmOver
)

// reasonRules pairs the name of each reason with the rule it stands for.
var reasonRules = [...]struct{ name, rule string }{
	ReasonUnset: {"", ""},

	NewBytes:         {"new-bytes", "a healthy check saw bytes that were not stored"},
	FirstCapture:     {"first-capture", "nothing is proven yet, so the first valid capture stands in as known good"},
	LongestHeld:      {"longest-held", "nothing is proven yet, and this version was longest on disk under a healthy process"},
	StartProven:      {"start-proven", "the agent started on these bytes and every check stayed healthy for the probation"},
	VersionProven:    {"version-proven", "a good start under another version of the agent adds a proof"},
	AcceptedByPerson: {"accepted-by-person", "a person vouched for these bytes"},
	RecoveryEnded:    {"recovery-ended", "the incident is over"},

	ProcessGone:        {"process-gone", "there is no process, and its supervisor is not bringing it back"},
	ChecksUnhealthy:    {"checks-unhealthy", "every active alive check was unhealthy for threshold probes in a row"},
	RestartLimitPassed: {"restart-limit-passed", "its supervisor restarted it more often than the start limit allows"},
	CrashLoop:          {"crash-loop", "its supervisor restarted it three times, and it never stayed healthy for the probation in between"},
	NotReady:           {"not-ready", "it serves, but it has never been ready on this config and was on an earlier one"},

	LiveIsKnownGood:         {"live-is-known-good", "the config on disk is the known good, so a rollback would change nothing"},
	PermissionDiffers:       {"permission-differs", "the bytes are the known good's and their modes or owners are not: only those are put back"},
	OutsideCause:            {"outside-cause", "a cause outside the config holds now, so a rollback would cure nothing"},
	VersionAndConfigChanged: {"version-and-config-changed", "version and config changed together, and across-versions is off"},
	ChangedAfterDeath:       {"changed-after-death", "the bytes changed after the agent was known dead: somebody's fix gets one start"},
	LiveHeldUnderHealth:     {"live-held-under-health", "this version was on disk under a healthy process for the probation: it gets one start"},
	NewBoot:                 {"new-boot", "the machine was rebooted: the live config gets one start"},
	LiveFirst:               {"live-first", "recovery.first is restart: the live config gets one start"},
	NothingStored:           {"nothing-stored", "there is no snapshot to go back to"},
	CannotKeep:              {"cannot-keep", "the live config could not be stored, so not a byte of it may be replaced"},
	CannotRestore:           {"cannot-restore", "the target could not be staged, and nothing was replaced"},
	StartedByPerson:         {"started-by-person", "a person asked for it"},

	LiveInvalid:        {"live-invalid", "the live config does not validate and the target does"},
	LiveIsBad:          {"live-is-bad", "an earlier incident proved this version bad"},
	LiveUnproven:       {"live-unproven", "the live config differs from the known good and has not earned a start"},
	LiveFailed:         {"live-failed", "a start on the live config has failed"},
	RollbackFirst:      {"rollback-first", "recovery.first is rollback"},
	KnownGoodDemoted:   {"known-good-demoted", "three deaths without outside cause within a day of its promotion"},
	NextOlder:          {"next-older", "the target before it did not verify"},
	Relapse:            {"relapse", "the target had verified, then the config was changed again and the agent died"},
	RolledBackByPerson: {"rolled-back-by-person", "a person asked for it"},
	RestoredByPerson:   {"restored-by-person", "a person chose this snapshot"},
	NeverReady:         {"never-ready", "ready has never held on this config, and did on the known good"},
	TrialFailed:        {"trial-failed", "the agent did not stay up, or as well as it was, on the config that was applied: the one before goes back"},
	DiedArmed:          {"died-armed", "it died while a change was not confirmed: the version that was armed goes back"},
	ArmExpired:         {"arm-expired", "nobody confirmed in time: the version that was armed goes back"},
	Canonical:          {"canonical", "no stored version is left to try: the one in source control, over the newest proven one"},
	SafeConfig:         {"safe", "nothing else is left to try: the minimal config of the key safe"},

	Exhausted: {"exhausted", "no target stayed up, so it was not the config: the original is put back, or the known good if that does not validate"},

	Backoff:           {"backoff", "the same thing was tried before: the gap grows"},
	StartWindowFull:   {"start-window-full", "start-limit-burst starts within start-limit-interval; only time empties that window"},
	StopFailed:        {"stop-failed", "something of the agent is still running or holds its port"},
	RestoreIncomplete: {"restore-incomplete", "the set is only partly in place, and no agent is started on half a set"},

	Verified:         {"verified", "every alive check was healthy threshold times in a row on the new process"},
	VerifiedNotReady: {"verified-not-ready", "it serves again, but a ready check that was healthy before is not"},
	StartFailed:      {"start-failed", "the start command failed or no process came of it"},
	DiedInVerify:     {"died-in-verify", "the new process ended before it was healthy"},
	DeadlinePassed:   {"deadline-passed", "the new process was not healthy by the healthy-deadline"},
	DiedInProbation:  {"died-in-probation", "it died again before its probation had passed"},
	ProbationPassed:  {"probation-passed", "it stayed healthy for the probation"},
	ReloadFailed:     {"reload-failed", "the process could not be told to read its config anew"},
	TrialPassed:      {"trial-passed", "the agent stayed healthy for the probation on the config that was applied"},
	TrialRefused:     {"trial-refused", "the config could not be applied as it would be now, and nothing was replaced"},
	TrialEnded:       {"trial-ended", "something else came between before the applied config had passed its probation"},
	AppliedIdle:      {"applied-idle", "the agent is stopped on purpose: the config is in place and nothing was started"},
	Cured:            {"cured", "a rollback away from it cured the agent, and it had failed a start or does not validate"},
	CuredThrice:      {"cured-thrice", "the third rollback away from it cured the agent"},

	CandidateHeld:       {"candidate-held", "a guard objects to the new version; `deadman accept` overrides it"},
	KnownGoodLost:       {"known-good-lost", "the stored known good is gone or damaged: what is live is stored anew"},
	NotCaptured:         {"not-captured", "the config cannot be captured, so what changes now can be neither proven nor put back"},
	BrokenUnderGreen:    {"broken-under-green", "the config on disk does not validate while the process serves on"},
	HeldVersionBack:     {"held-version-back", "a version that an earlier incident proved bad is on disk again"},
	UnknownTooLong:      {"unknown-too-long", "ten probes in a row could not tell"},
	SomeChecksUnhealthy: {"some-checks-unhealthy", "it serves, but a check is unhealthy"},
	ReadyLost:           {"ready-lost", "it serves, but is not ready, and the config is not to blame"},
	ForeignStart:        {"foreign-start", "a process appeared that neither deadman nor its supervisor started"},
	RivalStarts:         {"rival-starts", "a second foreign start in one incident, or a third in a row while all was well: another watchdog is at work"},
	WouldAct:            {"would-act", "nothing may be done (mode is observe, or it is a child that nobody watches): this is what would have been done"},
	CanonicalSkipped:    {"canonical-skipped", "the version in source control was not put in place: it cannot be read, does not validate, is held back, or has failed"},
	SafeSkipped:         {"safe-skipped", "the minimal config was not put in place: it cannot be read, does not validate, is held back, or has failed"},

	StoppedByPerson:       {"stopped-by-person", "a person stopped it"},
	StoppedBySupervisor:   {"stopped-by-supervisor", "it was stopped through its supervisor, or ended as planned"},
	RestartedBySupervisor: {"restarted-by-supervisor", "it ended, and its supervisor restarted it by itself"},
	PausedByPerson:        {"paused-by-person", "a person paused the switch"},
	ResumedByPerson:       {"resumed-by-person", "a person asked for it"},
	PauseEnded:            {"pause-ended", "the pause ran out"},
	AppliedByPerson:       {"applied-by-person", "new config was applied, and has its probation to pass"},
	ArmedByPerson:         {"armed-by-person", "a person is about to change the config: what is live goes back unless that is confirmed"},
	ConfirmedByPerson:     {"confirmed-by-person", "a person confirmed the change"},
	ArmUnchanged:          {"arm-unchanged", "nobody confirmed in time, and nothing was changed"},
	ArmOver:               {"arm-over", "the switch has put a config back by itself, so there is nothing left to confirm"},
}

func (r Reason) String() string {
	if int(r) < len(reasonRules) {
		return reasonRules[r].name
	}
	return nameOf("reason", nil, r)
}

// Rule is the sentence behind the reason.
func (r Reason) Rule() string {
	if int(r) < len(reasonRules) {
		return reasonRules[r].rule
	}
	return ""
}

func (r Reason) MarshalText() ([]byte, error)  { return []byte(r.String()), nil }
func (r *Reason) UnmarshalText(b []byte) error { return parseName("reason", reasonNames(), b, r) }

func reasonNames() []string {
	names := make([]string, len(reasonRules))
	for i, entry := range reasonRules {
		names[i] = entry.name
	}
	return names
}

// Reasons lists every reason, for `deadman explain --list`.
func Reasons() []Reason {
	all := make([]Reason, 0, len(reasonRules)-1)
	for i := range reasonRules[1:] {
		all = append(all, Reason(i+1))
	}
	return all
}

// Alarming reports whether a decision to start without a rollback leaves
// something that a person must see to.
func (r Reason) Alarming() bool {
	switch r {
	case VersionAndConfigChanged, CannotKeep, CannotRestore, OutsideCause:
		return true
	}
	return false
}
