package notify

import (
	"context"
	"net/http"
	"net/url"
)

// Signal is what a ping says.
type Signal string

const (
	Started   Signal = "start"
	Succeeded Signal = ""
	Failing   Signal = "fail"
)

// Ping calls a URL in the manner of healthchecks.io: the URL itself for success,
// with /start or /fail after its path for the others. The error is a *SendError.
func Ping(ctx context.Context, raw string, signal Signal) error {
	u, err := url.Parse(raw)
	if err != nil {
		return failure("", err)
	}
	if signal != "" {
		u = u.JoinPath(string(signal))
	}
	if err := send(ctx, http.MethodGet, u.String(), "", nil); err != nil {
		return failure("", err)
	}
	return nil
}
