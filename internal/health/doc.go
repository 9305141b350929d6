// Package health makes one attempt of one check of an agent: an HTTP request, a
// TCP connection, a command, the age of a heartbeat file, or whether its process
// is there. How many attempts make a death is lifecycle's to say.
//
// An attempt finds one of three things. Unhealthy is evidence about the agent: it
// refused, answered wrongly, or did not answer in time; a server that accepts
// connections and never answers is unhealthy by the timeout (incident 27).
// Unknown is everything that says more about us or the way between: no
// descriptors left, no route, a name that does not resolve, a certificate that
// nobody vouches for, a command that cannot be run. Unknown is never "dead".
//
// An answer counts only if the listener belongs to the agent, where that can be
// seen: a port taken over by another program would otherwise look healthy for
// ever (incident 54). The answer comes first and its owner is looked up after, in
// the agent's own descriptors; only when the socket is not there are all
// processes searched.
//
// A Detail is for people and for the log. It holds statuses, ports, pids and
// paths of keys, and never a body, a header, a URL or an expected value.
//
// Left out: redirects are not followed, proxies are not used, connections are not
// kept, and output of commands is not kept either.
package health
