package health_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deadman"
	"deadman/internal/health"
)

// Whatever a port answers, a probe ends, is one of three results, and repeats
// nothing of the answer. An answer that is what was asked for is healthy.
func FuzzAnswer(f *testing.F) {
	const mark = "7f3a91c5Zq"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	answers := make(chan []byte, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 4096)
			_, _ = conn.Read(buffer)
			_, _ = conn.Write(<-answers)
			conn.Close()
		}
	}()
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\"}"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{\"#"))
	f.Add([]byte("HTTP/1.1 103 #\r\n\r\nHTTP/1.1 500 #\r\n\r\n#"))
	f.Add([]byte("HTTP/1.1 302 Found\r\nLocation: http://#/\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{#\r\n"))
	f.Add([]byte("#\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n[[{\"status\":#}]]"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		answers <- []byte(strings.ReplaceAll(string(answer), "#", mark))
		check := health.Check{Timeout: 30 * time.Second, HTTP: &health.HTTP{URL: "http://" + l.Addr().String() + "/", JSON: map[string]string{"status": "ok"}}}
		r := check.Attempt(t.Context(), time.Now(), health.Owner{})
		if strings.Contains(r.Detail, mark) {
			t.Fatal(r.Detail)
		}
		if r.Result != deadman.Healthy && r.Result != deadman.Unhealthy && r.Result != deadman.Unknown {
			t.Fatalf("%+v", r)
		}
		if r.Result == deadman.Healthy && !strings.Contains(string(answer), "200") {
			t.Fatalf("%q is healthy", answer)
		}
	})
}

// A value in a body is found by its path, as the text that it is; nothing else is
// taken for it.
func FuzzBody(f *testing.F) {
	f.Add("checks", 0, "state", "ok", "up", []byte("{}"))
	f.Add("a b", 3, "", "1.50", "1.5", []byte(`{"a":{"b":[1,null,true]}}`))
	f.Add("\u00e9", 1, "0", "null", "", []byte("["))
	f.Fuzz(func(t *testing.T, outer string, index int, inner, value, other string, raw []byte) {
		for _, s := range []*string{&outer, &inner, &value, &other} {
			*s = strings.ReplaceAll(strings.ToValidUTF8(*s, "?"), ".", "-")
		}
		index = max(0, index%5)
		list := make([]any, index+1)
		list[index] = map[string]any{inner: value}
		body, _ := json.Marshal(map[string]any{outer: list})
		path := fmt.Sprintf("%s.%d.%s", outer, index, inner)
		holds := func(body []byte, path, value string) bool {
			return health.HoldsJSON(body, map[string]string{path: value})
		}
		if !holds(body, path, value) {
			t.Fatalf("%q is not found at %q in %s", value, path, body)
		}
		if value != other && holds(body, path, other) {
			t.Fatalf("%q is taken for %q", value, other)
		}
		if holds(raw, path, value) && !json.Valid(raw) {
			// A decoder stops behind the first value.
			if d := json.NewDecoder(strings.NewReader(string(raw))); d.Decode(new(any)) != nil {
				t.Fatalf("%q is taken for json", raw)
			}
		}
	})
}

// A heartbeat is healthy exactly as long as its file is not older than it may be,
// and what lies in the future is no evidence.
func FuzzHeartbeat(f *testing.F) {
	path := filepath.Join(f.TempDir(), "beat")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		f.Fatal(err)
	}
	f.Add(int64(time.Second), int64(time.Minute))
	f.Add(int64(2*time.Minute), int64(time.Minute))
	f.Add(-int64(time.Hour), int64(time.Minute))
	f.Add(int64(0), int64(0))
	f.Fuzz(func(t *testing.T, age, most int64) {
		const year = int64(365 * 24 * time.Hour)
		if age < -year || age > year || most < 0 || most > year {
			return
		}
		now := time.Unix(2e9, 0)
		at := now.Add(-time.Duration(age)).Truncate(time.Microsecond)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		want := deadman.Healthy
		switch old := now.Sub(at); {
		case old < -2*time.Second:
			want = deadman.Unknown
		case old > time.Duration(most):
			want = deadman.Unhealthy
		}
		check := health.Check{Timeout: 30 * time.Second, Heartbeat: &health.Heartbeat{File: path, MaxAge: time.Duration(most)}}
		if got := check.Attempt(t.Context(), now, health.Owner{}).Result; got != want {
			t.Fatalf("%v old, of %v: %v", time.Duration(age), time.Duration(most), got)
		}
	})
}
