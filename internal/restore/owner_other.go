//go:build !linux

package restore

// lchown gives the link base its owner. No descriptor of a link can be had.
func (d *dir) lchown(base string, uid, gid int) error { return d.root.Lchown(base, uid, gid) }
