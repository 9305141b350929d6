package cause

import "syscall"

// stReadOnly is ST_RDONLY of statfs(2), which package syscall does not name.
const stReadOnly = 1

func spaceOf(path string) (space, error) {
	var s syscall.Statfs_t
	for {
		err := syscall.Statfs(path, &s)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return space{}, err
		}
		break
	}
	unit := uint64(s.Frsize)
	if unit == 0 {
		unit = uint64(s.Bsize)
	}
	return space{
		total: s.Blocks * unit, free: s.Bavail * unit,
		files: s.Files, unused: s.Ffree, readOnly: s.Flags&stReadOnly != 0,
	}, nil
}
