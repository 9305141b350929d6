package config

import (
	"strings"
)

// nearest returns the candidate that word was most likely meant to be, or "".
// Case, underscores and spaces are not counted as mistakes, because other
// programs write their keys so.
func nearest(word string, candidates []string) string {
	plain := func(s string) string {
		return strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(s))
	}
	if len(word) > 64 {
		return ""
	}
	best, bestDistance := "", len(word)/3+1
	for _, c := range candidates {
		d := distance(plain(word), plain(c))
		if strings.ReplaceAll(plain(word), "-", "") == strings.ReplaceAll(plain(c), "-", "") {
			d = 0
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts the letters to add, drop, replace, or swap with their
// neighbour to make b of a.
func distance(a, b string) int {
	before, previous := []int(nil), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := previous[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, previous[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, previous = previous, row
	}
	return previous[len(b)]
}

// words lists names for a sentence: a, b or c.
func words(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
