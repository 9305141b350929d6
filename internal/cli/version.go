package cli

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker: -X deadman/internal/cli.version=v1.2.3.
var version string

const versionHelp = `Prints which version this is, of what Go, and for what platform.

exits:
  0   printed
  2   bad flag`

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "which deadman this is", Long: versionHelp, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p.printVersion()
			return nil
		},
	}
}

func (p *program) printVersion() {
	p.printf("deadman %s %s %s/%s\n", versionName(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// versionName is what the linker was told, else what Go knows: the module's
// version, or the commit it was built from.
func versionName() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	var commit, modified string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-dirty"
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	if commit != "" {
		return commit + modified
	}
	return cmp.Or(info.Main.Version, "unknown")
}
