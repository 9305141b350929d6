package crash_test

import (
	"testing"

	"deadman/internal/simtest/crash"
)

// TestSample: so many as asked for, no point twice, each scenario with its share.
func TestSample(t *testing.T) {
	t.Parallel()
	calls := []int{300, 0, 100, 7}
	for _, n := range []int{0, 1, 4, 60, 406, 407, 1000} {
		sample := crash.Sample(calls, n)
		want := n
		if n == 0 || n > 407 {
			want = 407
		}
		if len(sample) != want {
			t.Errorf("%d points of a sample of %d", len(sample), n)
		}
		seen := map[crash.Point]bool{}
		share := make([]int, len(calls))
		for _, p := range sample {
			if seen[p] || p.N < 1 || p.N > calls[p.Scenario] {
				t.Errorf("in a sample of %d: point %v", n, p)
			}
			seen[p] = true
			share[p.Scenario]++
		}
		if n == 60 && (share[0] < 43 || share[0] > 45 || share[2] < 14 || share[2] > 16) {
			t.Errorf("shares %v", share)
		}
	}
}
