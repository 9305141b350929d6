package supervisor

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// askTime bounds one question to an owner over a socket. An owner is one process,
// and a machine in a restart storm keeps it busy.
const askTime = 5 * time.Second

// unixClient speaks HTTP over a unix socket, one connection for each request.
func unixClient(socket string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// unreached is why a request failed, without the address that says nothing.
func unreached(err error) error {
	if call := (*net.OpError)(nil); errors.As(err, &call) {
		err = call.Err
	}
	if call := (*os.SyscallError)(nil); errors.As(err, &call) {
		err = call.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no answer in time")
	}
	return fmt.Errorf("it cannot be reached: %w", err)
}

// fault is the error that an XML-RPC server answers with.
type fault struct {
	code int
	word string
}

func (f *fault) Error() string { return fmt.Sprintf("%s (fault %d)", f.word, f.code) }

// callXML calls a method by XML-RPC. Arguments are strings, integers and
// booleans; an answer is one of those, or a map of them by name.
func callXML(ctx context.Context, socket, method string, args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/RPC2", bytes.NewReader(xmlCall(method, args)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "text/xml")
	response, err := unixClient(socket).Do(request)
	if err != nil {
		return nil, unreached(err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		return nil, errors.New("it asks for a password on its socket")
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answers with status %d", response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, unreached(err)
	}
	return parseXML(text)
}

func xmlCall(method string, args []any) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<?xml version='1.0'?><methodCall><methodName>%s</methodName><params>", method)
	for _, arg := range args {
		b.WriteString("<param><value>")
		switch arg := arg.(type) {
		case bool:
			n := 0
			if arg {
				n = 1
			}
			fmt.Fprintf(&b, "<boolean>%d</boolean>", n)
		case int:
			fmt.Fprintf(&b, "<int>%d</int>", arg)
		case string:
			b.WriteString("<string>")
			_ = xml.EscapeText(&b, []byte(arg))
			b.WriteString("</string>")
		}
		b.WriteString("</value></param>")
	}
	b.WriteString("</params></methodCall>")
	return b.Bytes()
}

// xmlValue is a value as it stands in an answer. What has no type is a string.
type xmlValue struct {
	Text    string  `xml:",chardata"`
	String  *string `xml:"string"`
	Int     *string `xml:"int"`
	I4      *string `xml:"i4"`
	Boolean *string `xml:"boolean"`
	Struct  *struct {
		Members []struct {
			Name  string   `xml:"name"`
			Value xmlValue `xml:"value"`
		} `xml:"member"`
	} `xml:"struct"`
}

func parseXML(text []byte) (any, error) {
	var answer struct {
		XMLName xml.Name  `xml:"methodResponse"`
		Value   *xmlValue `xml:"params>param>value"`
		Fault   *xmlValue `xml:"fault>value"`
	}
	err := xml.Unmarshal(text, &answer)
	switch {
	case err == nil && answer.Fault != nil:
		fields, _ := answer.Fault.plain().(map[string]any)
		code, _ := fields["faultCode"].(int)
		word, _ := fields["faultString"].(string)
		return nil, &fault{code, word}
	case err == nil && answer.Value != nil:
		return answer.Value.plain(), nil
	}
	return nil, errors.New("its answer is no XML-RPC")
}

func (v xmlValue) plain() any {
	integer := v.Int
	if integer == nil {
		integer = v.I4
	}
	switch {
	case v.Struct != nil:
		fields := make(map[string]any)
		for _, m := range v.Struct.Members {
			fields[m.Name] = m.Value.plain()
		}
		return fields
	case integer != nil:
		n, _ := strconv.Atoi(strings.TrimSpace(*integer))
		return n
	case v.Boolean != nil:
		return strings.TrimSpace(*v.Boolean) == "1"
	case v.String != nil:
		return *v.String
	}
	return v.Text
}
