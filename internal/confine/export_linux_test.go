package confine

// DoKeeping is Do that keeps other capabilities than Kept.
func DoKeeping(kept []int, work func()) { apart(func() { drop(kept); work() }) }
