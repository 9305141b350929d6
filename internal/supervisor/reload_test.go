package supervisor_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deadman/internal/supervisor"
)

// TestReload: a reload has come off when its command has ended with status 0.
func TestReload(t *testing.T) {
	t.Parallel()
	for _, want := range []struct {
		name, script, err string
		timeout           time.Duration
	}{
		{"well", "exit 0", "", 30 * time.Second},
		{"refused", "exit 3", "ended with exit 3", 30 * time.Second},
		{"for ever", "while :; do sleep 1; done", "did not end within", 100 * time.Millisecond},
	} {
		t.Run(want.name, func(t *testing.T) {
			t.Parallel()
			c := supervisor.Command{
				ReloadArgv: []string{"sh", "-c", want.script}, StopTimeout: want.timeout,
				LogFile: filepath.Join(t.TempDir(), "log"),
			}
			err := c.Reload(t.Context())
			if want.err == "" && err != nil || want.err != "" && (err == nil || !strings.Contains(err.Error(), want.err)) {
				t.Errorf("%v", err)
			}
		})
	}
	if none := (&supervisor.Command{}); none.Reloads(t.Context()) {
		t.Error("one without a reload command can reload")
	}
}
