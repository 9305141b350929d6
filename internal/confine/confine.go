package confine

// Rules are the directories that confined work can reach, each with all that is
// beneath it. They are absolute paths without links; one that has a link in it, or
// is not there, allows nothing.
type Rules struct {
	// Read may be read, Write changed as well.
	Read, Write []string
	// List may be listed, and no more.
	List []string
}
