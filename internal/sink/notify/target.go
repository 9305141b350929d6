package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Target is one place that messages go to: one chat, one topic, one address.
type Target struct {
	// Service is what it is, in a word: webhook, telegram, mail …
	Service string
	// ID tells it from the others, over restarts, without saying where it is.
	ID   string
	send func(context.Context, Message) error
}

// Services are the schemes that Parse knows, in the order in which they are
// listed.
func Services() []string {
	return []string{
		"http", "https", "discord", "googlechat", "gotify", "matrix", "mattermost",
		"ntfy", "pushover", "slack", "smtp", "telegram",
	}
}

// ParseError says what is wrong with a target. It holds nothing of the URL.
type ParseError struct {
	Service string // "" if that is what is wrong
	Why     string
	Form    string // how it is written
}

func (e *ParseError) Error() string {
	if e.Service == "" {
		return "cannot use this target: " + e.Why
	}
	return fmt.Sprintf("cannot use this %s target: %s", e.Service, e.Why)
}

// Hint says how such a target is written.
func (e *ParseError) Hint() string {
	if e.Form != "" {
		return "write it as " + e.Form
	}
	return "a target is a URL that begins with one of " + strings.Join(Services(), "://, ") + "://"
}

// Parse reads the URL of a target. One that names several chats or addresses is
// several targets, so that a message which only some of them took is not sent to
// those again. The error is a *ParseError.
func Parse(raw string) ([]Target, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, &ParseError{Why: "it is not a URL"} // err holds it
	case !slices.Contains(Services(), strings.ToLower(u.Scheme)):
		return nil, &ParseError{Why: "deadman knows no such service"}
	}
	p := &parser{u: u, q: u.Query(), path: strings.Trim(u.Path, "/")}
	if u.User != nil {
		p.user = u.User.Username()
		p.pass, _ = u.User.Password()
	}
	service, form, found := p.targets(strings.ToLower(u.Scheme))
	if p.why == "" && len(found) == 0 {
		p.why = "something is missing in it"
	}
	if p.why != "" {
		return nil, &ParseError{Service: service, Why: p.why, Form: form}
	}
	for i := range found {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", raw, i))
		found[i].Service, found[i].ID = service, hex.EncodeToString(sum[:8])
	}
	return found, nil
}

// parser is a URL being read.
type parser struct {
	u          *url.URL
	q          url.Values
	user, pass string
	path       string
	why        string
}

// need says that a part is missing, if it is.
func (p *parser) need(part, name string) {
	if part == "" && p.why == "" {
		p.why = "its " + name + " is missing"
	}
}

// option is an option of the URL, by any of its names; their case does not count.
func (p *parser) option(names ...string) string {
	for key, values := range p.q {
		if slices.Contains(names, strings.ToLower(key)) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

func (p *parser) flag(name string) bool {
	switch strings.ToLower(p.option(name)) {
	case "yes", "true", "1", "on":
		return true
	}
	return false
}

// list is an option with several values between commas.
func (p *parser) list(names ...string) []string {
	var list []string
	for item := range strings.SplitSeq(p.option(names...), ",") {
		if item = strings.TrimSpace(item); item != "" && !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	return list
}

// base is the server that a URL names, by https unless it asks for less.
func (p *parser) base() string {
	scheme := "https"
	if p.flag("disabletls") || p.option("scheme") == "http" {
		scheme = "http"
	}
	return scheme + "://" + p.u.Host
}

// targets are those of the URL, with the name of the service and the form of its
// URL. Options that are not named here are ignored: they are about looks.
func (p *parser) targets(scheme string) (service, form string, found []Target) {
	one := func(send func(context.Context, Message) error) []Target { return []Target{{send: send}} }
	switch scheme {
	case "http", "https":
		p.need(p.u.Hostname(), "host")
		p.u.Fragment = ""
		return "webhook", "https://HOST/PATH", one(func(ctx context.Context, m Message) error {
			return post(ctx, p.u.String(), m, header{"X-Deadman-Key": m.Key})
		})
	case "discord":
		p.need(p.u.Host, "webhook id")
		p.need(p.user, "token")
		to := "https://discord.com/api/webhooks/" + url.PathEscape(p.u.Host) + "/" + url.PathEscape(p.user)
		if thread := p.option("thread_id"); thread != "" {
			to += "?thread_id=" + url.QueryEscape(thread)
		}
		return scheme, "discord://TOKEN@WEBHOOKID", one(func(ctx context.Context, m Message) error {
			return post(ctx, to, map[string]any{
				"content": m.Text(), "allowed_mentions": map[string]any{"parse": []string{}},
			}, nil)
		})
	case "googlechat":
		p.need(p.u.Host, "host")
		p.need(p.option("key"), "key")
		p.need(p.option("token"), "token")
		to := *p.u
		to.Scheme = "https"
		return scheme, "googlechat://chat.googleapis.com/v1/spaces/SPACE/messages?key=KEY&token=TOKEN", one(func(ctx context.Context, m Message) error {
			return post(ctx, to.String(), map[string]string{"text": m.Text()}, nil)
		})
	case "gotify":
		p.need(p.u.Host, "host")
		p.need(p.path, "token")
		above, token := "", p.path
		if i := strings.LastIndexByte(p.path, '/'); i >= 0 {
			above, token = "/"+p.path[:i], p.path[i+1:]
		}
		return scheme, "gotify://HOST/TOKEN", one(func(ctx context.Context, m Message) error {
			priority := 8
			if m.Event == Recovered {
				priority = 4
			}
			return post(ctx, p.base()+above+"/message",
				map[string]any{"title": m.Title(), "message": m.Text(), "priority": priority}, header{"X-Gotify-Key": token})
		})
	case "matrix":
		p.need(p.u.Host, "host")
		p.need(p.pass, "access token")
		if p.user != "" {
			p.why = "it has a user: deadman does not log in, and takes an access token"
		}
		for _, room := range p.list("rooms", "room") {
			if !strings.HasPrefix(room, "!") {
				p.why = "a room is not an id, which begins with !"
			}
			found = append(found, Target{send: func(ctx context.Context, m Message) error {
				// The key as the id of the transaction: a second copy is the same event.
				to := fmt.Sprintf("%s/_matrix/client/v3/rooms/%s/send/m.room.message/%s", p.base(), url.PathEscape(room), url.PathEscape(m.Key))
				return send(ctx, "PUT", to, map[string]string{"msgtype": "m.text", "body": m.Text()}, header{"Authorization": "Bearer " + p.pass})
			}})
		}
		return scheme, "matrix://:TOKEN@HOST/?rooms=!ROOM:SERVER", found
	case "mattermost":
		p.need(p.u.Host, "host")
		p.need(p.path, "token")
		token, channel, _ := strings.Cut(p.path, "/")
		return scheme, "mattermost://HOST/TOKEN", one(func(ctx context.Context, m Message) error {
			body := map[string]string{"text": escapeSlack(m.Text())}
			if p.user != "" {
				body["username"] = p.user
			}
			if channel != "" {
				body["channel"] = channel
			}
			return post(ctx, p.base()+"/hooks/"+url.PathEscape(token), body, nil)
		})
	case "ntfy":
		p.need(p.u.Host, "host")
		p.need(p.path, "topic")
		return scheme, "ntfy://HOST/TOPIC", one(p.ntfy)
	case "pushover":
		p.need(p.u.Host, "user key")
		p.need(p.pass, "token")
		return scheme, "pushover://shoutrrr:TOKEN@USERKEY/", one(func(ctx context.Context, m Message) error {
			body := map[string]string{"token": p.pass, "user": p.u.Host, "title": m.Title(), "message": cut(m.Text(), 1024)}
			if devices := p.list("devices", "device"); len(devices) > 0 {
				body["device"] = strings.Join(devices, ",")
			}
			return post(ctx, "https://api.pushover.net/1/messages.json", body, nil)
		})
	case "slack":
		return scheme, "slack://hook:A-B-C@webhook, or slack://xoxb:A-B-C@CHANNEL", p.slack()
	case "smtp":
		return "mail", "smtp://USER:PASSWORD@HOST:PORT/?from=ADDRESS&to=ADDRESS", p.mail()
	case "telegram":
		p.need(p.user, "token")
		p.need(p.pass, "token")
		to := "https://api.telegram.org/bot" + url.PathEscape(p.user) + ":" + url.PathEscape(p.pass) + "/sendMessage"
		for _, chat := range p.list("chats", "channels") {
			body := map[string]any{"chat_id": chat, "link_preview_options": map[string]bool{"is_disabled": true}}
			if id, thread, ok := strings.Cut(chat, ":"); ok {
				body["chat_id"], body["message_thread_id"] = id, thread
			}
			found = append(found, Target{send: func(ctx context.Context, m Message) error {
				return post(ctx, to, with(body, "text", m.Text()), nil)
			}})
		}
		return scheme, "telegram://TOKEN@telegram?chats=CHAT", found
	}
	return "", "", nil
}

// ntfy publishes to a topic (https://docs.ntfy.sh/publish/).
func (p *parser) ntfy(ctx context.Context, m Message) error {
	headers := header{"Title": m.Title(), "Priority": "high"}
	if m.Event == Recovered {
		headers["Priority"] = "default"
	}
	for name, option := range map[string]string{"Priority": "priority", "Tags": "tags"} {
		if value := p.option(option); value != "" {
			headers[name] = value
		}
	}
	if p.pass != "" || p.user != "" {
		headers["Authorization"] = basic(p.user, p.pass) // Without a user, the password is a token.
	}
	return post(ctx, p.base()+"/"+p.path, m.Text(), headers)
}

// slack posts through a webhook, or as an app to a channel.
func (p *parser) slack() []Target {
	parts := strings.FieldsFunc(p.pass, func(r rune) bool { return strings.ContainsRune("-/,", r) })
	switch {
	case len(parts) != 3:
		p.why = "its token is not three parts with dashes between"
	case p.user == "hook":
		to := "https://hooks.slack.com/services/" + url.PathEscape(parts[0]) + "/" + url.PathEscape(parts[1]) + "/" + url.PathEscape(parts[2])
		return []Target{{send: func(ctx context.Context, m Message) error {
			return post(ctx, to, map[string]string{"text": escapeSlack(m.Text())}, nil)
		}}}
	case p.user == "xoxb" || p.user == "xoxp":
		p.need(p.u.Host, "channel")
		return []Target{{send: func(ctx context.Context, m Message) error {
			return post(ctx, "https://slack.com/api/chat.postMessage", map[string]string{"channel": p.u.Host, "text": escapeSlack(m.Text())},
				header{"Authorization": "Bearer " + p.user + "-" + strings.Join(parts, "-")})
		}}}
	default:
		p.why = "its token is neither hook, xoxb nor xoxp"
	}
	return nil
}

// escapeSlack keeps text from being read as a mention or a link
// (https://docs.slack.dev/messaging/formatting-message-text#escaping).
func escapeSlack(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// with is a copy of m with one more key.
func with(m map[string]any, key string, value any) map[string]any {
	c := map[string]any{key: value}
	for k, v := range m {
		c[k] = v
	}
	return c
}

// cut is at most the last so many bytes of a text's beginning; its end, with the
// key, stays.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	last := text[strings.LastIndexByte(text, '\n')+1:]
	return strings.ToValidUTF8(text[:limit-len(last)-5], "") + "...\n" + last
}

// Send delivers one message. The error is a *SendError.
func (t Target) Send(ctx context.Context, m Message) error {
	err := t.send(ctx, m)
	if err == nil {
		return nil
	}
	return failure(t.Service, err)
}
