package notify

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// header are the headers of one request.
type header map[string]string

// answerMax is how much of an answer is read.
const answerMax = 64 << 10

// client is made when it is first used: most runs of the program send nothing.
// It keeps no connection, since what is sent is rare and a one-shot ends. A
// redirect is not followed: a POST would become a GET, and be answered with a
// 200 that means nothing.
var client = sync.OnceValue(func() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	return newClient(t)
})

func newClient(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func post(ctx context.Context, to string, body any, headers header) error {
	return send(ctx, http.MethodPost, to, body, headers)
}

// send makes one request. A body that is text is sent as it is, anything else as
// JSON. Whatever goes wrong is an error: no answer, and any answer but 2xx.
func send(ctx context.Context, method, to string, body any, headers header) error {
	kind := "text/plain; charset=utf-8"
	var content []byte
	if text, ok := body.(string); ok {
		content = []byte(text)
	} else {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
		kind = "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(content))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("User-Agent", "deadman")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &statusError{Status: resp.StatusCode, After: retryAfter(resp.Header.Get("Retry-After"))}
	}
	// Slack's API says 200 to everything, and in the answer whether it was done.
	var said struct{ OK *bool }
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") && json.Unmarshal(answer, &said) == nil && said.OK != nil && !*said.OK {
		return errRefused
	}
	return nil
}

// errRefused is an answer that says no in its body.
var errRefused = errors.New("it refused")

// statusError is an answer that is not 2xx. Its text is not shown: an answer may
// repeat what was sent.
type statusError struct {
	Status int
	After  time.Duration
}

func (e *statusError) Error() string { return fmt.Sprintf("it answered %d", e.Status) }

// retryAfter reads the header of that name in seconds, which is how these
// services write it.
func retryAfter(value string) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, waitMax)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
