//go:build !linux

package cause

import "errors"

func spaceOf(string) (space, error) { return space{}, errors.ErrUnsupported }
