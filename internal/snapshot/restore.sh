#!/bin/sh
# Puts back the config in this directory: bytes, owners, modes and links, with
# nothing but a POSIX shell. Stop the agent first; then, as root:
#
#     sh restore.sh             put everything where it was
#     sh restore.sh /tmp/look   put it beneath /tmp/look, to look at it
#
# It replaces what it restores and removes nothing else. If it fails, run it
# again: it starts from the beginning.
set -eu
umask 077
unset CDPATH
LC_ALL=C
export LC_ALL
prefix=${1-}

# The "." keeps newlines at the end of the path, if there are any.
case $0 in
*/*) here=$(cd -- "${0%/*}" && pwd -P && echo .) ;;
*) here=$(pwd -P && echo .) ;;
esac
here=${here%??}

cannot() {
	printf 'restore.sh: cannot %s\n' "$1" >&2
	exit 1
}

warn() { printf 'restore.sh: %s\n' "$1" >&2; }

# check NAME SHA256: before anything is touched.
check() {
	if command -v sha256sum >/dev/null 2>&1; then
		got=$(sha256sum <"$here/files/$1") || cannot "read $here/files/$1"
	elif command -v shasum >/dev/null 2>&1; then
		got=$(shasum -a 256 <"$here/files/$1") || cannot "read $here/files/$1"
	else
		[ -f "$here/files/$1" ] || cannot "find $here/files/$1"
		return 0
	fi
	[ "${got%% *}" = "$2" ] || cannot "trust $here/files/$1: it is not what was stored"
}

own() { chown -h "$1" "$2" || warn "cannot give $2 to $1; run this as root"; }

# root PATH MODE OWNER: made if it is gone, otherwise left as it is.
root() {
	[ ! -d "$prefix$1" ] || return 0
	mkdir -p "$prefix$1"
	own "$3" "$prefix$1"
	chmod "$2" "$prefix$1"
}

# clear PATH: a link goes, so that nothing is written through it; a directory
# stays, because what is in it may not be in any snapshot.
clear() {
	if [ -h "$1" ]; then
		rm -f "$1"
	elif [ -d "$1" ]; then
		cannot "replace $1: it is a directory; move it away first"
	fi
}

# dir PATH OWNER
dir() {
	[ ! -h "$prefix$1" ] || rm -f "$prefix$1"
	[ -d "$prefix$1" ] || mkdir "$prefix$1"
	own "$2" "$prefix$1"
}

# file NAME PATH MODE OWNER: a new file takes the place of the old in one step.
# With -C the shell refuses to write to a name, or a link, that is there.
file() {
	to=$prefix$2
	new=${to%/*}/.deadman-restore
	[ -z "$prefix" ] || mkdir -p "${to%/*}"
	clear "$to"
	rm -f "$new"
	(set -C && cat "$here/files/$1" >"$new") || cannot "write $new"
	own "$4" "$new"
	chmod "$3" "$new"
	mv -f "$new" "$to" || cannot "replace $to"
}

# link TARGET PATH OWNER
link() {
	clear "$prefix$2"
	rm -f "$prefix$2"
	ln -s "$1" "$prefix$2" || cannot "link $prefix$2"
	own "$3" "$prefix$2"
}

# linked TARGET PATH: the link that led to the file just restored. Its own
# owner does not matter to anybody.
linked() {
	[ "$(readlink "$prefix$2" 2>/dev/null && echo .)" != "$1
." ] || return 0
	clear "$prefix$2"
	rm -f "$prefix$2"
	ln -s "$1" "$prefix$2" || cannot "link $prefix$2"
}

# xattr PATH NAME HEX
xattr() {
	if [ -z "$3" ]; then
		set -- "$1" "$2" '""'
	else
		set -- "$1" "$2" "0x$3"
	fi
	setfattr -n "$2" -v "$3" "$prefix$1" 2>/dev/null ||
		warn "cannot set $2 on $prefix$1; do it by hand: setfattr -n $2 -v $3"
}

mode() { chmod "$2" "$prefix$1"; }

done_with() { printf 'restored %s files; now start the agent\n' "$1"; }
