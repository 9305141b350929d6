//go:build !linux && !darwin

package atomicfile

func exchange(int, string, string) error { return ErrNoExchange }

func renameNew(int, string, int, string) error { return errNoRenameNew }
