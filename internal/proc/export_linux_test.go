package proc

import "encoding/binary"

// ListeningByTable is the fallback of Listening, which otherwise only a kernel
// without sock_diag would test.
var ListeningByTable = listening

// The parsers.
var (
	ParseStat    = parseStat
	ParseAddr    = parseAddr
	ParseDiag    = diagSocket
	ReadDiag     = readDiag
	LittleEndian = littleEndian
)

// Diag is a struct inet_diag_msg about a socket, as the kernel makes it.
func Diag(addr []byte, port uint16, inode uint32) []byte {
	b := make([]byte, diagMessageSize)
	b[0] = 2 // AF_INET
	if len(addr) == 16 {
		b[0] = 10 // AF_INET6
	}
	binary.BigEndian.PutUint16(b[4:], port)
	copy(b[8:24], addr)
	binary.NativeEndian.PutUint32(b[68:], inode)
	return b
}
