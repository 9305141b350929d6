package notify

import "net/http"

// UseTransport has everything that is sent go through t. For TestMain.
func UseTransport(t http.RoundTripper) {
	c := newClient(t)
	client = func() *http.Client { return c }
}
