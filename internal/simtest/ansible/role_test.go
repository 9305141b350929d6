package ansible_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/service"
)

const role = "../../../ansible/roles/deadman"

// TestUnits: what the role installs is what `deadman install-service` does.
func TestUnits(t *testing.T) {
	program := "/usr/local/bin/deadman"
	fill := strings.NewReplacer(
		"{{ deadman_mark }}; the next play replaces it.", service.Mark+"; it is replaced by the next one.",
		"{% for word in [deadman_path, 'watch'] + (deadman_config_flag | split) %}\n		<string>{{ word }}</string>\n{% endfor %}\n",
		"		<string>"+program+"</string>\n		<string>watch</string>\n",
		"{{ deadman_path }}", program, "{{ deadman_config_flag }}", "",
	)
	for _, plan := range []service.Plan{
		service.Service{Program: program}.Systemd(), service.Service{Program: program, Check: true}.Systemd(),
		service.Service{Program: program}.Launchd("system"),
	} {
		for _, f := range plan.Files {
			text, err := os.ReadFile(filepath.Join(role, "templates", filepath.Base(f.Path)+".j2"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(f.Text, fill.Replace(string(text))); diff != "" {
				t.Errorf("%s: %s", f.Path, diff)
			}
		}
	}
}

// TestLint: yamllint and ansible-lint have nothing to say, by its strictest profile.
func TestLint(t *testing.T) {
	wanted(t)
	collection := filepath.Join(t.TempDir(), "ansible_collections/deadman/fleet")
	if err := os.MkdirAll(collection, 0o755); err != nil {
		t.Fatal(err)
	}
	// A copy: the linter leaves a cache behind.
	if out, err := exec.Command("cp", "-a", "../../../ansible/.", collection).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, argv := range [][]string{{"yamllint", "--strict", "."}, {"ansible-lint", "--offline", "--nocolor", "--strict"}} {
		if _, err := exec.LookPath(argv[0]); err != nil {
			need(t, err)
		}
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir = collection
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8", "ANSIBLE_COLLECTIONS_PATH=" + filepath.Join(collection, "../../..")}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", argv[0], err, out)
		}
	}
}
