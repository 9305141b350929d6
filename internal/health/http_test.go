package health_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"deadman"
	"deadman/internal/health"
)

func TestHTTP(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"status": "ok", "secret": "hunter2", "checks": [{"up": true, "n": 1.50, "none": null}]}`)
	})
	mux.HandleFunc("GET /down", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "hunter2")
	})
	mux.Handle("GET /moved", http.RedirectHandler("/health", http.StatusFound))
	mux.HandleFunc("POST /strict", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hunter2" || r.Host != "agent.example" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("GET /long", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, io.LimitReader(strings.NewReader(strings.Repeat("x", 2<<20)), 2<<20))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	secure := httptest.NewUnstartedServer(mux)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)

	hung := listen(t, nil)
	drops := listen(t, func(c net.Conn) {
		c.Read(make([]byte, 4096)) // all of the request, or the close is a reset
		c.Close()
	})
	early := listen(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
	})
	endless := listen(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
		for err := error(nil); err == nil; {
			_, err = io.WriteString(c, strings.Repeat("x", 4096))
		}
	})
	other := listen(t, func(c net.Conn) { io.WriteString(c, "220 mail.example ESMTP\r\n") })
	stalls := listen(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok") })

	for name, c := range map[string]struct {
		http   health.HTTP
		want   deadman.Result
		detail string
	}{
		"healthy":              {health.HTTP{URL: "/health"}, deadman.Healthy, ""},
		"endless body":         {health.HTTP{URL: "/stream"}, deadman.Healthy, ""},
		"status":               {health.HTTP{URL: "/down"}, deadman.Unhealthy, "status 503"},
		"status as expected":   {health.HTTP{URL: "/down", Status: []int{200, 503}}, deadman.Healthy, ""},
		"redirect":             {health.HTTP{URL: "/moved"}, deadman.Unhealthy, "status 302"},
		"redirect as expected": {health.HTTP{URL: "/moved", Status: []int{302}}, deadman.Healthy, ""},
		"method and headers": {health.HTTP{URL: "/strict", Method: "POST", Headers: map[string]string{
			"Authorization": "Bearer hunter2", "host": "agent.example",
		}}, deadman.Healthy, ""},
		"no headers":         {health.HTTP{URL: "/strict", Method: "POST"}, deadman.Unhealthy, "status 401"},
		"body":               {health.HTTP{URL: "/health", Body: `"ok"`}, deadman.Healthy, ""},
		"another body":       {health.HTTP{URL: "/health", Body: "hunter3"}, deadman.Unhealthy, "lacks the expected text"},
		"json":               {health.HTTP{URL: "/health", JSON: map[string]string{"status": "ok", "checks.0.up": "true", "checks.0.n": "1.50", "checks.0.none": "null"}}, deadman.Healthy, ""},
		"another value":      {health.HTTP{URL: "/health", JSON: map[string]string{"secret": "hunter3"}}, deadman.Unhealthy, "another value at secret"},
		"no value":           {health.HTTP{URL: "/health", JSON: map[string]string{"checks.1.up": "true"}}, deadman.Unhealthy, "no value at checks.1.up"},
		"an object":          {health.HTTP{URL: "/health", JSON: map[string]string{"checks": "x"}}, deadman.Unhealthy, "no value at checks"},
		"not json":           {health.HTTP{URL: "/down", Status: []int{503}, JSON: map[string]string{"a": "b"}}, deadman.Unhealthy, "not json"},
		"too long":           {health.HTTP{URL: "/long", Body: "y"}, deadman.Unknown, "longer than"},
		"refused":            {health.HTTP{URL: "http://" + closed(t)}, deadman.Unhealthy, "refused"},
		"hung":               {health.HTTP{URL: "http://" + hung}, deadman.Unhealthy, "no answer within"}, // incident 27
		"hung on https":      {health.HTTP{URL: "https://" + hung}, deadman.Unhealthy, "no answer within"},
		"stalls in its body": {health.HTTP{URL: "http://" + stalls, Body: "not there"}, deadman.Unhealthy, "no answer within"},
		"drops":              {health.HTTP{URL: "http://" + drops}, deadman.Unhealthy, "closed the connection"},
		"early hints":        {health.HTTP{URL: "http://" + early}, deadman.Healthy, ""},
		"endless headers":    {health.HTTP{URL: "http://" + endless}, deadman.Unhealthy, "does not speak HTTP"},
		"another protocol":   {health.HTTP{URL: "http://" + other}, deadman.Unhealthy, "does not speak HTTP"},
		"untrusted":          {health.HTTP{URL: secure.URL + "/health"}, deadman.Unknown, "not trusted"},
		"no such name":       {health.HTTP{URL: "http://agent.invalid/"}, deadman.Unknown, "does not resolve"},
		"not a url":          {health.HTTP{URL: "://hunter2"}, deadman.Unknown, "not valid"},
		"another scheme":     {health.HTTP{URL: "ftp://127.0.0.1/hunter2"}, deadman.Unknown, "not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := 5 * time.Second
			if strings.Contains(c.detail, "within") {
				timeout = 100 * time.Millisecond
			}
			if strings.HasPrefix(c.http.URL, "/") {
				c.http.URL = server.URL + c.http.URL
			}
			got := attempt(t, health.Check{Name: "gateway", Level: deadman.Alive, Timeout: timeout, HTTP: &c.http})
			if got.Result != c.want || !strings.Contains(got.Detail, c.detail) || (c.detail == "") != (got.Detail == "") {
				t.Errorf("%s %q, want %s %q", got.Result, got.Detail, c.want, c.detail)
			}
			if got.Result == deadman.Healthy && got.Latency >= timeout {
				t.Errorf("it took %s", got.Latency)
			}
			if got.Check != "gateway" || got.Level != deadman.Alive || got.Kind != health.KindHTTP || got.Stale || got.Latency <= 0 {
				t.Errorf("%+v", got)
			}
			if strings.Contains(got.Detail, "hunter") {
				t.Errorf("a secret in %q", got.Detail)
			}
		})
	}
}

// A proxy would answer in the agent's stead.
func TestHTTPUsesNoProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	got := attempt(t, health.Check{HTTP: &health.HTTP{URL: "http://agent.invalid/"}})
	if got.Result != deadman.Unknown {
		t.Errorf("%+v", got)
	}
}

// An attempt that is cut short from outside says nothing about the agent.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	accepted := make(chan struct{}, 1)
	address := listen(t, func(net.Conn) { accepted <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-accepted
		cancel()
	}()
	got := health.Check{HTTP: &health.HTTP{URL: "http://" + address}}.Attempt(ctx, time.Now(), health.Owner{})
	if got.Result != deadman.Unknown || got.Detail != "interrupted" {
		t.Errorf("%+v", got)
	}
}
