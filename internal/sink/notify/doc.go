// Package notify tells people what deadman did.
//
// It has three parts. A [Ledger] decides what is worth a message: what the log
// says goes in, messages come out, and nothing is read or sent (time is an
// argument). An [Outbox] is the file in which messages wait for their targets,
// and what each target was told last. [Parse] makes a [Target] of a URL and
// [Target.Send] delivers one message to it.
//
// What is promised: a message that is in the outbox stays there until its target
// has taken it, over restarts, crashes and a network that is down for days. It
// may arrive twice, if deadman is killed between the delivery and the note of
// it; both copies have the same key. One target that does not answer holds up
// neither the others nor anybody else.
//
// The targets are URLs in the form that shoutrrr has made common. The services
// are spoken to here, and not through that library, for three reasons that were
// measured with its version 0.13.2: its Telegram reports success when nothing
// could be reached, which loses messages; it takes no context, and mail has no
// time limit after connecting; and its errors hold the URLs, which are secrets.
// Nearly all of them are one POST.
//
// URLs are secrets. None is in an error: a target is named by its service, and a
// failure by one of a few sentences that are written down here. Values of the
// agent's config never get this far; its key paths do, and since the agent
// chooses them they are stripped of control characters and of what a chat would
// take for a command.
package notify
