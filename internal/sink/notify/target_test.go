package notify_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"deadman/internal/sink/notify"
)

// secret is in every URL here, and must be in nothing that is printed.
const secret = "s3cr3t"

// names are servers of this test that stand where a service's own name leads to.
var names sync.Map

// TestMain resolves the names of services to servers of the tests: real listeners
// and real TLS, with a certificate that is theirs.
func TestMain(m *testing.M) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if to, ok := names.Load(addr); ok {
			addr = to.(string)
		} else if host, _, _ := net.SplitHostPort(addr); net.ParseIP(host) == nil {
			return nil, &net.DNSError{Err: "no such host", Name: secret, IsNotFound: true}
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	notify.UseTransport(t)
	dir, err := os.MkdirTemp("", "notify")
	if err == nil {
		trusted, err = authority(filepath.Join(dir, "ca.pem"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// trusted is a server's side of TLS that this process trusts, as it would one of
// the world's.
var trusted *tls.Config

// authority makes a certificate for 127.0.0.1 and has this process trust it and
// no other: the roots are read when the first certificate is looked at.
func authority(file string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	os.Setenv("SSL_CERT_FILE", file)
	os.Setenv("SSL_CERT_DIR", filepath.Dir(file))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}

var message = notify.Message{
	Schema: 1, Key: "a-42-0123456789ab", Event: notify.Rollback, Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Host: "gate-1", Agent: "a",
	Incident: "20260301T115900.000Z", Record: 42, Cause: "config-invalid", Reason: "live-invalid",
	Rule: "the live config does not validate and the target does", Snapshot: "s1",
	Reverted: []string{"config.yaml#provider", "config.yaml#\x1b[31m<!channel>"}, Command: "deadman restore a s2",
}

const text = `a on gate-1 was rolled back
cause: config-invalid
reason: live-invalid: the live config does not validate and the target does
reverted: config.yaml#provider, config.yaml#?[31m<!channel>
to undo it: deadman restore a s2
at 2026-03-01T12:00:00Z; deadman explain 42; key a-42-0123456789ab`

// one is the only target of a URL.
func one(t *testing.T, url string) notify.Target {
	t.Helper()
	targets, err := notify.Parse(url)
	if err != nil || len(targets) != 1 {
		t.Fatalf("%d targets, %v", len(targets), err)
	}
	return targets[0]
}

// request is what a server was asked.
type request struct {
	Line    string
	Headers map[string]string
	Body    string
}

// Each service gets the request that its documentation asks for.
func TestServices(t *testing.T) {
	t.Parallel()
	slack := strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(text)
	js := func(v any) string {
		b, _ := json.Marshal(v)
		return string(b)
	}
	for _, tt := range []struct {
		url, host string // host: the service's own; HOST in the URL is the server itself
		headers   []string
		want      request
	}{
		{"discord://" + secret + "@123?thread_id=9", "discord.com:443", nil, request{
			"POST /api/webhooks/123/" + secret + "?thread_id=9", nil,
			js(map[string]any{"content": text, "allowed_mentions": map[string]any{"parse": []string{}}}),
		}},
		{"googlechat://chat.googleapis.com/v1/spaces/S/messages?key=k&token=" + secret, "chat.googleapis.com:443", nil, request{
			"POST /v1/spaces/S/messages?key=k&token=" + secret, nil, js(map[string]string{"text": text}),
		}},
		{"gotify://HOST/sub/" + secret, "", []string{"X-Gotify-Key"}, request{
			"POST /sub/message",
			map[string]string{"X-Gotify-Key": secret},
			js(map[string]any{"title": "deadman: a on gate-1 was rolled back", "message": text, "priority": 8}),
		}},
		{"matrix://:" + secret + "@HOST/?rooms=!r:example.org", "", []string{"Authorization"}, request{
			"PUT /_matrix/client/v3/rooms/%21r:example.org/send/m.room.message/a-42-0123456789ab",
			map[string]string{"Authorization": "Bearer " + secret},
			js(map[string]string{"msgtype": "m.text", "body": text}),
		}},
		{"mattermost://bot@HOST/" + secret + "/ops", "", nil, request{
			"POST /hooks/" + secret, nil, js(map[string]string{"text": slack, "username": "bot", "channel": "ops"}),
		}},
		{"ntfy://:" + secret + "@HOST/topic?tags=x", "", []string{"Authorization", "Title", "Priority", "Tags"}, request{
			"POST /topic", map[string]string{
				"Authorization": "Basic OnMzY3IzdA==", "Title": "deadman: a on gate-1 was rolled back", "Priority": "high", "Tags": "x",
			}, text,
		}},
		{"pushover://shoutrrr:" + secret + "@user/?devices=d1,d2", "api.pushover.net:443", nil, request{
			"POST /1/messages.json", nil,
			js(map[string]string{"token": secret, "user": "user", "title": "deadman: a on gate-1 was rolled back", "message": text, "device": "d1,d2"}),
		}},
		{"slack://hook:A-B-" + secret + "@webhook", "hooks.slack.com:443", nil, request{
			"POST /services/A/B/" + secret, nil, js(map[string]string{"text": slack}),
		}},
		{"slack://xoxb:1-2-" + secret + "@C001", "slack.com:443", []string{"Authorization"}, request{
			"POST /api/chat.postMessage", map[string]string{"Authorization": "Bearer xoxb-1-2-" + secret}, js(map[string]string{"channel": "C001", "text": slack}),
		}},
		{"telegram://1:" + secret + "@telegram?chats=-100:7", "api.telegram.org:443", nil, request{
			"POST /bot1:" + secret + "/sendMessage", nil,
			js(map[string]any{"chat_id": "-100", "message_thread_id": "7", "text": text, "link_preview_options": map[string]bool{"is_disabled": true}}),
		}},
		{"https://u:" + secret + "@HOST/in?x=1", "", []string{"Authorization", "X-Deadman-Key"}, request{
			"POST /in?x=1", map[string]string{"Authorization": "Basic dTpzM2NyM3Q=", "X-Deadman-Key": message.Key}, js(message),
		}},
	} {
		var got request
		server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got = request{Line: r.Method + " " + r.URL.RequestURI(), Body: string(body)}
			for _, name := range tt.headers {
				if got.Headers == nil {
					got.Headers = map[string]string{}
				}
				got.Headers[name] = r.Header.Get(name)
			}
		}))
		addr := server.Listener.Addr().String()
		if tt.host != "" {
			names.Store(tt.host, addr)
		}
		if err := one(t, strings.ReplaceAll(tt.url, "HOST", addr)).Send(t.Context(), message); err != nil {
			t.Errorf("%.10s: %v", tt.url, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%.10s (-want +got):\n%s", tt.url, diff)
		}
		server.Close()
		names.Delete(tt.host)
		// The same, now that nobody is there: a failure, and nothing of the URL.
		err := one(t, strings.ReplaceAll(tt.url, "HOST", addr)).Send(t.Context(), message)
		var failed *notify.SendError
		if !errors.As(err, &failed) || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), addr) {
			t.Errorf("%.10s: %v", tt.url, err)
		}
	}
}

// The body of a webhook is a contract.
func TestWebhookFields(t *testing.T) {
	t.Parallel()
	got, err := json.MarshalIndent(message, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "schema": 1,
  "key": "a-42-0123456789ab",
  "event": "rollback",
  "time": "2026-03-01T12:00:00Z",
  "host": "gate-1",
  "agent": "a",
  "incident": "20260301T115900.000Z",
  "record": 42,
  "cause": "config-invalid",
  "reason": "live-invalid",
  "rule": "the live config does not validate and the target does",
  "snapshot": "s1",
  "reverted": [
    "config.yaml#provider",
    "config.yaml#\u001b[31m\u003c!channel\u003e"
  ],
  "command": "deadman restore a s2"
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

// What an answer says of the message, and of when to come again.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status  int
		body    string
		retry   string
		why     string
		refused bool
		after   time.Duration
	}{
		{200, "", "", "", false, 0},
		{204, "", "", "", false, 0},
		{200, `{"ok":true}`, "", "", false, 0},
		{200, `{"ok":false,"error":"` + secret + `"}`, "", "it refused", false, 0},
		{301, "", "", "it answered 301", false, 0},
		{400, secret, "", "it answered 400", true, 0},
		{401, "", "", "it answered 401", false, 0},
		{404, "", "", "it answered 404", false, 0},
		{429, "", "7", "it answered 429", false, 7 * time.Second},
		{503, "", "999999", "it answered 503", false, time.Hour},
		{500, "", "Fri, 31 Dec 1999 23:59:59 GMT", "it answered 500", false, 0},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Retry-After", tt.retry)
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.body)
		}))
		err := one(t, server.URL+"/"+secret).Send(t.Context(), message)
		server.Close()
		if tt.why == "" {
			if err != nil {
				t.Errorf("%d: %v", tt.status, err)
			}
			continue
		}
		var got *notify.SendError
		if !errors.As(err, &got) {
			t.Fatalf("%d: %v", tt.status, err)
		}
		want := &notify.SendError{Service: "webhook", Why: tt.why, Refused: tt.refused, After: tt.after}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d: %s", tt.status, diff)
		}
	}
}

// Whatever keeps a message from arriving has a sentence that holds nothing of
// where it was to go.
func TestFailures(t *testing.T) {
	t.Parallel()
	closed := listener(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		c.Close()
	})
	hungUp := listener(t, func(c net.Conn) { c.Close() })
	silent := listener(t, func(net.Conn) {})
	for url, why := range map[string]string{
		"http://127.0.0.1:1/" + secret:                            "connection refused",
		"https://" + secret + ".invalid/" + secret:                "its name cannot be resolved",
		"telegram://1:" + secret + "@telegram?chats=1":            "its name cannot be resolved",
		"http://" + closed + "/" + secret:                         "it closed the connection",
		"http://" + silent + "/" + secret:                         "no answer in time",
		"smtp://u:" + secret + "@" + silent + "/?from=a@b&to=c@d": "no answer in time",
		"smtp://u:" + secret + "@" + hungUp + "/?from=a@b&to=c@d": "it closed the connection",
		"smtp://u:" + secret + "@127.0.0.1:1/?from=a@b&to=c@d":    "connection refused",
		"https://" + listener(t, plainHTTP) + "/" + secret:        "it does not speak TLS",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := one(t, url).Send(ctx, message)
		cancel()
		var got *notify.SendError
		if !errors.As(err, &got) || got.Why != why || strings.Contains(err.Error(), secret) {
			t.Errorf("%.12s: %v, want %s", url, err, why)
		}
	}
}

func plainHTTP(c net.Conn) {
	_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	c.Close()
}

// listener accepts connections until the test ends.
func listener(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go serve(c)
		}
	}()
	return l.Addr().String()
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                    "cannot use this target: deadman knows no such service",
		"://" + secret:        "cannot use this target: it is not a URL",
		secret + "://x":       "cannot use this target: deadman knows no such service",
		"ops@example.org":     "cannot use this target: deadman knows no such service",
		"https:///" + secret:  "cannot use this webhook target: its host is missing",
		"discord://" + secret: "cannot use this discord target: its token is missing",
		"telegram://" + secret + "@telegram?chats=1": "cannot use this telegram target: its token is missing",
		"telegram://1:" + secret + "@telegram":       "cannot use this telegram target: something is missing in it",
		"slack://hook:" + secret + "@webhook":        "cannot use this slack target: its token is not three parts with dashes between",
		"slack://xoxz:a-b-" + secret + "@C":          "cannot use this slack target: its token is neither hook, xoxb nor xoxp",
		"ntfy://" + secret:                           "cannot use this ntfy target: its topic is missing",
		"matrix://u:" + secret + "@h/?rooms=!r":      "cannot use this matrix target: it has a user: deadman does not log in, and takes an access token",
		"matrix://:" + secret + "@h/?rooms=ops":      "cannot use this matrix target: a room is not an id, which begins with !",
		"smtp://u:" + secret + "@h/?to=a@b":          "cannot use this mail target: its from is missing",
		"smtp://u:" + secret + "@h/?from=a@b":        "cannot use this mail target: something is missing in it",
		"smtp://h/?from=a@b&to=" + secret:            "cannot use this mail target: one of its to is not an address",
		"smtp://h/?from=a%0d%0ab@c&to=a@b":           "cannot use this mail target: its from is not an address",
	} {
		targets, err := notify.Parse(url)
		var bad *notify.ParseError
		if !errors.As(err, &bad) || err.Error() != want || targets != nil || bad.Hint() == "" || strings.Contains(err.Error()+bad.Hint(), secret) {
			t.Errorf("%q: %v, want %s", url, err, want)
		}
	}
}

// Several chats in one URL are several targets, and tell themselves apart.
func TestParseSeveral(t *testing.T) {
	t.Parallel()
	first, err := notify.Parse("telegram://1:t@telegram?chats=1,2,%20,2")
	if err != nil || len(first) != 2 || first[0].ID == first[1].ID {
		t.Fatalf("%v, %v", first, err)
	}
	again, _ := notify.Parse("telegram://1:t@telegram?chats=1,2,%20,2")
	if first[0].ID != again[0].ID || strings.Contains(first[0].ID, "t") {
		t.Errorf("%v", again)
	}
}

func TestTextIsBounded(t *testing.T) {
	t.Parallel()
	m := message
	m.Reverted = nil
	for i := range 300 {
		m.Reverted = append(m.Reverted, fmt.Sprintf("config.yaml#%s.ä%d", strings.Repeat("k", 90), i))
	}
	if got := m.Text(); len(got) > 1900 || !strings.HasSuffix(got, "key a-42-0123456789ab") {
		t.Errorf("%d bytes, ends %q", len(got), got[len(got)-40:])
	}
	m.Host = "gät\r\nBcc: x"
	if strings.ContainsAny(m.Title(), "\r\nä") {
		t.Errorf("title %q", m.Title())
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.RequestURI())
	}))
	for _, signal := range []notify.Signal{notify.Started, notify.Succeeded, notify.Failing} {
		if err := notify.Ping(t.Context(), server.URL+"/"+secret+"?x=1", signal); err != nil {
			t.Error(err)
		}
	}
	server.Close()
	if diff := cmp.Diff([]string{"GET /s3cr3t/start?x=1", "GET /s3cr3t?x=1", "GET /s3cr3t/fail?x=1"}, got); diff != "" {
		t.Error(diff)
	}
	if err := notify.Ping(t.Context(), server.URL+"/"+secret, ""); err == nil || err.Error() != "cannot ping: connection refused" {
		t.Error(err)
	}
}
