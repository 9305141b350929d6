package service

import (
	"encoding/xml"
	"path/filepath"
	"strings"
)

// Label is the job's name at launchd.
const Label = "deadman"

// Launchd is the plan for launchd: a LaunchDaemon, or a user's LaunchAgent. domain
// is the domain that it is loaded into: system, or gui/UID.
func (s Service) Launchd(domain string) Plan {
	path := filepath.Join("/Library/LaunchDaemons", Label+".plist")
	if s.User {
		path = filepath.Join(s.Home, "Library/LaunchAgents", Label+".plist")
	}
	argv, life := s.argv("watch"), "	<key>KeepAlive</key>\n	<true/>\n"
	if s.Check {
		argv, life = s.argv("check"), "	<key>StartInterval</key>\n	<integer>60</integer>\n"
	}
	var words strings.Builder
	for _, word := range argv {
		words.WriteString("		<string>")
		_ = xml.EscapeText(&words, []byte(word)) // a strings.Builder takes all
		words.WriteString("</string>\n")
	}
	text := `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- ` + Mark + `; it is replaced by the next one. -->
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>` + Label + `</string>
	<key>ProgramArguments</key>
	<array>
` + words.String() + `	</array>
	<key>RunAtLoad</key>
	<true/>
` + life + `	<!-- The agents that it has started live on without it. -->
	<key>AbandonProcessGroup</key>
	<true/>
</dict>
</plist>
`
	return Plan{
		Files: []File{{path, text}},
		Enable: [][]string{
			{"launchctl", "enable", domain + "/" + Label},
			{"launchctl", "bootstrap", domain, path},
		},
		Disable: [][]string{{"launchctl", "bootout", domain + "/" + Label}},
	}
}
