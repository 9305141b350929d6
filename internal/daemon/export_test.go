package daemon

// ParseCgroup is parseCgroup: the machine of a test has only one cgroup.
var ParseCgroup = parseCgroup
