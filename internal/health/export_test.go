package health

import "deadman"

// HoldsJSON reports whether a body satisfies the `json` of a check.
func HoldsJSON(body []byte, want map[string]string) bool {
	return (&HTTP{JSON: want}).judgeJSON(body).result == deadman.Healthy
}
