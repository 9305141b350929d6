package notify_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// postOffice is a mail server: enough of RFC 5321 for a client to hand in letters.
type postOffice struct {
	addr string
	// refuse answers a command that begins so with this line.
	refuse map[string]string
	// offers are its extensions.
	offers []string
	tls    *tls.Config
	// implicit: TLS from the first byte.
	implicit bool

	mu       sync.Mutex
	commands []string
	letters  []string
}

func newPostOffice(t *testing.T, o *postOffice) *postOffice {
	t.Helper()
	o.addr = listener(t, o.serve)
	return o
}

func (o *postOffice) serve(c net.Conn) {
	defer func() { c.Close() }()
	if o.implicit {
		c = tls.Server(c, o.tls)
	}
	in := bufio.NewReader(c)
	say := func(line string) { fmt.Fprintf(c, "%s\r\n", line) }
	say("220 here")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		o.mu.Lock()
		o.commands = append(o.commands, line)
		o.mu.Unlock()
		verb, _, _ := strings.Cut(line, " ")
		if answer, ok := o.refuse[verb]; ok {
			say(answer)
			continue
		}
		switch verb {
		case "EHLO":
			say("250-here")
			for _, extension := range o.offers {
				say("250-" + extension)
			}
			say("250 8BITMIME")
		case "AUTH":
			say("235 welcome")
		case "STARTTLS":
			say("220 go on")
			c = tls.Server(c, o.tls)
			in = bufio.NewReader(c)
		case "DATA":
			say("354 go on")
			var letter strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				letter.WriteString(line)
			}
			o.mu.Lock()
			o.letters = append(o.letters, letter.String())
			o.mu.Unlock()
			say("250 taken")
		default:
			say("250 fine")
		}
	}
}

func (o *postOffice) said() (commands, letters []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.commands...), append([]string(nil), o.letters...)
}

func TestMail(t *testing.T) {
	t.Parallel()
	o := newPostOffice(t, &postOffice{offers: []string{"AUTH PLAIN"}})
	if err := one(t, "smtp://u:"+secret+"@"+o.addr+"/?fromAddress=deadman@example.org&toAddresses=ops@example.org").Send(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	commands, letters := o.said()
	var envelope []string
	for _, line := range commands {
		if !strings.HasPrefix(line, "EHLO") {
			envelope = append(envelope, line)
		}
	}
	want := []string{"AUTH PLAIN AHUAczNjcjN0", "MAIL FROM:<deadman@example.org> BODY=8BITMIME", "RCPT TO:<ops@example.org>", "DATA", "QUIT"}
	if diff := cmp.Diff(want, envelope); diff != "" {
		t.Error(diff)
	}
	if len(letters) != 1 {
		t.Fatalf("%d letters", len(letters))
	}
	letter, err := netmail.ReadMessage(strings.NewReader(letters[0]))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(letter.Body))
	if err != nil || strings.ReplaceAll(string(body), "\r\n", "\n") != text+"\n" {
		t.Errorf("%v, body:\n%s", err, body)
	}
	for name, want := range map[string]string{
		"Subject": "deadman: a on gate-1 was rolled back", "From": "<deadman@example.org>", "To": "<ops@example.org>",
		"Message-Id": "<a-42-0123456789ab@deadman>", "Date": "Sun, 01 Mar 2026 12:00:00 +0000",
	} {
		if got := letter.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if strings.Contains(letters[0], secret) {
		t.Error("the password is in the letter")
	}
}

// A password is said over TLS, however that begins.
func TestMailOverTLS(t *testing.T) {
	t.Parallel()
	for query, o := range map[string]*postOffice{
		"":                        {offers: []string{"STARTTLS", "AUTH PLAIN"}, tls: trusted},
		"&requireStartTLS=yes":    {offers: []string{"STARTTLS", "AUTH PLAIN"}, tls: trusted},
		"&encryption=ImplicitTLS": {offers: []string{"AUTH PLAIN"}, tls: trusted, implicit: true},
	} {
		newPostOffice(t, o)
		if err := one(t, "smtp://u:"+secret+"@"+o.addr+"/?from=a@example.org&to=b@example.org"+query).Send(t.Context(), message); err != nil {
			t.Errorf("%q: %v", query, err)
			continue
		}
		commands, letters := o.said()
		auth := slices.IndexFunc(commands, func(line string) bool { return strings.HasPrefix(line, "AUTH") })
		if len(letters) != 1 || auth < slices.Index(commands, "STARTTLS") || !o.implicit && !slices.Contains(commands, "STARTTLS") {
			t.Errorf("%q: %d letters, %q", query, len(letters), commands)
		}
	}
}

// Each address is a target of its own: one that is refused costs the others
// neither their letter nor a second one.
func TestMailFailures(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	for name, tt := range map[string]struct {
		o       *postOffice
		query   string
		why     string
		refused bool
	}{
		"no such address":         {&postOffice{refuse: map[string]string{"RCPT": "550 no " + secret}}, "", "it answered 550", false},
		"wrong password":          {&postOffice{offers: []string{"AUTH PLAIN"}, refuse: map[string]string{"AUTH": "535 no " + secret}}, "", "it answered 535", false},
		"too large":               {&postOffice{refuse: map[string]string{"DATA": "552 no"}}, "", "it answered 552", true},
		"no TLS, and required":    {&postOffice{}, "&requireStartTLS=yes", "it does not offer encryption", false},
		"TLS by a stranger":       {&postOffice{offers: []string{"STARTTLS"}, tls: server.TLS}, "", "its certificate cannot be verified", false},
		"TLS from the first byte": {&postOffice{}, "&encryption=ImplicitTLS", "it does not speak TLS", false},
	} {
		o := newPostOffice(t, tt.o)
		user := "u:" + secret + "@"
		if len(tt.o.offers) == 0 {
			user = ""
		}
		err := one(t, "smtp://"+user+o.addr+"/?from=a@example.org&to=b@example.org"+tt.query).Send(t.Context(), message)
		if err == nil || err.Error() != "cannot notify by mail: "+tt.why {
			t.Errorf("%s: %v, want %s", name, err, tt.why)
		}
		if _, letters := o.said(); len(letters) > 0 {
			t.Errorf("%s: a letter arrived", name)
		}
	}
}
