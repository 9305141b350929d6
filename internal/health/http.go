package health

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answerLimit is how much of a body is read for Body and JSON, in bytes.
const answerLimit = 1 << 20

// headLimit bounds status and headers, in bytes.
const headLimit = 64 << 10

// HTTP is healthy when one request gets the expected answer.
type HTTP struct {
	URL string
	// Method is GET unless given.
	Method string
	// Headers are sent as they are; "Host" sets the host.
	Headers map[string]string
	// Status lists the statuses that are healthy; none means 200 alone. A redirect
	// is an answer like any other and is not followed.
	Status []int
	// Body must occur in the body, unless empty.
	Body string
	// JSON maps paths ("checks.0.state") to what the body must hold there, compared
	// as text: a string as it is, numbers and true, false, null as they stand in
	// the body. A key with a dot in it cannot be named.
	JSON map[string]string
}

func (*HTTP) kind() Kind { return KindHTTP }

func (c *HTTP) probe(ctx context.Context, _ time.Time, owner Owner) finding {
	request, err := c.request(ctx)
	if err != nil {
		return unknown("the url or the method is not valid")
	}
	// One connection for this one attempt, and none of net/http's transport: a kept
	// connection would prove nothing about the next one, a proxy would answer in
	// the agent's stead, and the transport logs what a confused server says.
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address(request.URL))
	if err != nil {
		return undialed(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	response, err := exchange(ctx, conn, request)
	if err != nil {
		return unanswered(err)
	}
	// The body is not closed, which would read it to its end: a stream has none.
	// Closing the connection is enough.
	if f := c.judge(response); f.result != healthy.result {
		return f
	}
	if who := owner.impostor(conn.LocalAddr(), conn.RemoteAddr()); who != "" {
		return unhealthy("%s", who)
	}
	return healthy
}

// exchange sends a request and reads the head of its answer.
func exchange(ctx context.Context, conn net.Conn, request *http.Request) (*http.Response, error) {
	if request.URL.Scheme == "https" {
		secure := tls.Client(conn, &tls.Config{ServerName: request.URL.Hostname()})
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	limit := &io.LimitedReader{R: conn}
	reader := bufio.NewReader(limit)
	for {
		limit.N = headLimit
		response, err := http.ReadResponse(reader, request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= 200 {
			limit.N = 2 * answerLimit // in chunks it is longer than itself
			return response, nil
		}
		// 103 Early Hints and the like come before the answer.
	}
}

func (c *HTTP) request(ctx context.Context) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, c.Method, c.URL, nil)
	if err != nil {
		return nil, err
	}
	if s := request.URL.Scheme; s != "http" && s != "https" || request.URL.Host == "" {
		return nil, errors.New("cannot request: neither http nor https")
	}
	request.Close = true
	request.Header.Set("User-Agent", "deadman")
	for name, value := range c.Headers {
		if strings.EqualFold(name, "Host") {
			request.Host = value
			continue
		}
		request.Header.Set(name, value)
	}
	return request, nil
}

// address is where a URL leads, "host:port".
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = u.Scheme // net knows the two by name
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (c *HTTP) judge(response *http.Response) finding {
	expected := c.Status
	if len(expected) == 0 {
		expected = []int{http.StatusOK}
	}
	if !slices.Contains(expected, response.StatusCode) {
		return unhealthy("status %d", response.StatusCode)
	}
	if c.Body == "" && len(c.JSON) == 0 {
		return healthy
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit+1))
	if err != nil {
		return unanswered(err)
	}
	if len(body) > answerLimit {
		return unknown("the answer is longer than %d bytes", answerLimit)
	}
	if !bytes.Contains(body, []byte(c.Body)) {
		return unhealthy("the answer lacks the expected text")
	}
	return c.judgeJSON(body)
}

func (c *HTTP) judgeJSON(body []byte) finding {
	if len(c.JSON) == 0 {
		return healthy
	}
	var root any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if decoder.Decode(&root) != nil {
		return unhealthy("the answer is not json")
	}
	// In order, so that the same answer always gets the same detail.
	for _, path := range slices.Sorted(maps.Keys(c.JSON)) {
		got, ok := scalar(root, path)
		switch {
		case !ok:
			return unhealthy("the answer has no value at %s", path)
		case got != c.JSON[path]:
			return unhealthy("the answer has another value at %s", path)
		}
	}
	return healthy
}

// scalar returns the text of the string, number, boolean or null at a dotted path.
func scalar(node any, path string) (string, bool) {
	for step := range strings.SplitSeq(path, ".") {
		switch at := node.(type) {
		case map[string]any:
			below, ok := at[step]
			if !ok {
				return "", false
			}
			node = below
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(at) {
				return "", false
			}
			node = at[i]
		default:
			return "", false
		}
	}
	switch v := node.(type) {
	case nil:
		return "null", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
