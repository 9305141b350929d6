package rival_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPullOfTheRole: what brings the fleet its config through the role is no rival, with
// all that is in its checkout. The same play without the role is one.
func TestPullOfTheRole(t *testing.T) {
	t.Parallel()
	const entry = "*/10 * * * * ansible-pull -U https://git.example.org/timmy-config.git -C main -d /srv/timmy-config -i localhost, local.yml\n"
	s := newShared(t, crontabOfRoot, entry)
	checkout := filepath.Join(s.Root, "srv/timmy-config")
	if err := os.CopyFS(filepath.Join(checkout, "collections/ansible_collections/deadman/fleet"), os.DirFS("../../ansible")); err != nil {
		t.Fatal(err)
	}
	play := filepath.Join(checkout, "local.yml")
	for text, rivals := range map[string]int{
		"- hosts: localhost\n  roles:\n    - role: deadman.fleet.deadman\n":                                                                                   0,
		"- hosts: localhost\n  roles: [deadman.fleet.deadman]\n":                                                                                              0,
		"- hosts: localhost\n  tasks:\n    - ansible.builtin.include_role:\n        name: deadman.fleet.deadman\n":                                            0,
		"- import_playbook: deadman.fleet.site\n":                                                                                                             0,
		"- hosts: localhost\n  tasks:\n    - name: restart\n      ansible.builtin.systemd:\n        name: hermes-bezalel.service\n        state: restarted\n": 1,
	} {
		if err := os.WriteFile(play, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if found := find(t, &s.Host); len(found) != rivals {
			t.Errorf("of\n%s%d are rivals, want %d", text, len(found), rivals)
			for _, r := range found {
				t.Log(describe(r))
			}
		}
	}
}
