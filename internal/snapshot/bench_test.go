package snapshot_test

import (
	"strings"
	"testing"

	"deadman/internal/snapshot"
)

// BenchmarkObserve is the steady state: two files, nothing has changed.
func BenchmarkObserve(b *testing.B) {
	root := tree(b, map[string]string{"config.yaml": strings.Repeat("key: value\n", 200), ".env": "TOKEN=x\n"})
	sets := one(root, "config.yaml", ".env")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := snapshot.Observe(b.Context(), sets, snapshot.DefaultLimits); err != nil {
			b.Fatal(err)
		}
	}
}
