//go:build unix

package snapshot

import (
	"io/fs"
	"syscall"
	"time"
)

// stamp is what tells one state of an inode from another. Equal stamps before
// and after a read mean that the read saw one state.
type stamp struct {
	device, inode, links uint64
	mode                 uint32 // 07777
	uid, gid             int
	size                 int64
	mtime, ctime         int64 // ns
}

func stampOf(info fs.FileInfo) stamp {
	st := info.Sys().(*syscall.Stat_t)
	mtime, ctime := times(st)
	return stamp{
		device: uint64(st.Dev), inode: uint64(st.Ino), links: uint64(st.Nlink),
		mode: uint32(st.Mode) & 0o7777,
		uid:  int(st.Uid), gid: int(st.Gid),
		size:  st.Size,
		mtime: mtime, ctime: ctime,
	}
}

// member fills in what the inode knows about m.
func (s stamp) member(m Member) Member {
	m.Mode, m.UID, m.GID = s.mode, s.uid, s.gid
	m.Device, m.Inode, m.CTime = s.device, s.inode, s.changed()
	return m
}

func (s stamp) changed() time.Time { return time.Unix(0, s.ctime).UTC() }

// younger returns whichever of s and o changed last.
func (s stamp) younger(o stamp) stamp {
	if o.ctime > s.ctime {
		return o
	}
	return s
}
