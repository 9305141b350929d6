package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"net/smtp"
	"os"
	"strings"
	"time"
)

// errNoTLS: a server that was required to, or that would be told a password.
var errNoTLS = errors.New("it does not offer encryption")

// mail is one letter to each address.
func (p *parser) mail() []Target {
	p.need(p.u.Hostname(), "host")
	from := p.option("fromaddress", "from")
	p.need(from, "from")
	if _, err := netmail.ParseAddress(from); err != nil && from != "" {
		p.why = "its from is not an address"
	}
	port := p.u.Port()
	if port == "" {
		port = "25"
	}
	s := server{
		host: p.u.Hostname(), port: port, user: p.user, pass: p.pass,
		implicit: port == "465" || strings.EqualFold(p.option("encryption"), "implicittls"),
		required: p.flag("requirestarttls") || strings.EqualFold(p.option("encryption"), "explicittls"),
		plain:    strings.EqualFold(p.option("usestarttls", "starttls"), "no") || strings.EqualFold(p.option("encryption"), "none"),
	}
	var found []Target
	for _, to := range p.list("toaddresses", "to") {
		if _, err := netmail.ParseAddress(to); err != nil {
			p.why = "one of its to is not an address"
		}
		found = append(found, Target{send: func(ctx context.Context, m Message) error { return s.deliver(ctx, from, to, m) }})
	}
	return found
}

// server is where mail is handed in.
type server struct {
	host, port, user, pass string
	implicit               bool // TLS from the first byte
	required, plain        bool // TLS or nothing; never TLS
}

// deliver hands in one letter. ctx bounds all of it, the connection included.
func (s server) deliver(ctx context.Context, from, to string, m Message) error {
	dialer := &net.Dialer{}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.host, s.port))
	if err != nil {
		return err
	}
	// net/smtp knows no context: closing the connection ends whatever it waits for.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	err = s.talk(conn, from, to, m)
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	return err
}

func (s server) talk(conn net.Conn, from, to string, m Message) error {
	secure := &tls.Config{ServerName: s.host}
	if s.implicit {
		conn = tls.Client(conn, secure)
	}
	c, err := smtp.NewClient(conn, s.host)
	if err != nil {
		conn.Close()
		return err
	}
	defer c.Close()
	name, err := os.Hostname()
	if err != nil || strings.ContainsAny(name, " \r\n") {
		name = "localhost"
	}
	if err := c.Hello(name); err != nil {
		return err
	}
	if offered, _ := c.Extension("STARTTLS"); offered && !s.implicit && !s.plain {
		if err := c.StartTLS(secure); err != nil {
			return err
		}
	} else if s.required && !s.implicit {
		return errNoTLS
	}
	if s.user != "" {
		if _, encrypted := c.TLSConnectionState(); !encrypted && !loopback(s.host) {
			return errNoTLS // net/smtp would refuse too, with an error of no type.
		}
		if err := c.Auth(smtp.PlainAuth("", s.user, s.pass, s.host)); err != nil {
			return err
		}
	}
	if err := c.Mail(address(from)); err != nil {
		return err
	}
	if err := c.Rcpt(address(to)); err != nil {
		return err
	}
	body, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := body.Write(letter(from, to, m)); err != nil {
		return err
	}
	if err := body.Close(); err != nil {
		return err
	}
	_ = c.Quit() // It is theirs now, however they say goodbye.
	return nil
}

// loopback are the hosts to which net/smtp says a password without encryption.
func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// address is the bare address in one that may have a name; mail has looked at it.
func address(text string) string {
	a, err := netmail.ParseAddress(text)
	if err != nil {
		return ""
	}
	return a.Address
}

// letter is the message as RFC 5322 has it. The id is the same in every copy, so
// that mailboxes which care show one.
func letter(from, to string, m Message) []byte {
	var text bytes.Buffer
	w := quotedprintable.NewWriter(&text) // A line of a letter may have 998 bytes.
	_, _ = w.Write([]byte(m.Text() + "\n"))
	_ = w.Close()
	return fmt.Appendf(nil, "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@deadman>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\nAuto-Submitted: auto-generated\r\n\r\n%s",
		address(from), address(to), m.Title(), m.Time.UTC().Format(time.RFC1123Z), m.Key, text.Bytes())
}
