package secrets

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"testing"
)

// A value is found however it is written, in whatever surroundings, also cut short;
// and nothing is found where there is none.
func TestLookerFinds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 50 {
		l := newLooker()
		var all []*planted
		for range 20 {
			p := &planted{kind: inConfig, what: "test", core: newCore(r)}
			all = append(all, p)
			l.add(p)
		}
		p := all[i%len(all)]
		quoted, _ := json.Marshal("<&\"" + p.core + "\u2028")
		for name, text := range map[string]string{
			"plain":      p.core,
			"prefix":     "token=" + p.core[:12] + "...",
			"suffix":     "…" + p.core[12:],
			"json":       string(quoted),
			"quoted":     strconv.Quote("é\n" + p.core),
			"url":        url.QueryEscape("a b&" + p.core + "/"),
			"hex":        hex.EncodeToString([]byte("key: " + p.core)),
			"HEX":        fmt.Sprintf("%X", "x"+p.core),
			"base64":     base64.StdEncoding.EncodeToString([]byte("user:" + p.core)),
			"base64 +1":  base64.StdEncoding.EncodeToString([]byte("user1:" + p.core + "y")),
			"base64 +2":  base64.RawURLEncoding.EncodeToString([]byte("user12:" + p.core + "yz")),
			"in a dump":  "goroutine 1 [running]:\n\x00\x01" + p.core + "\x00",
			"in a title": "agent\x00--token\x00" + p.core + "\x00",
		} {
			if found := l.look([]byte("before " + text + " after")); len(found) != 1 || found[0] != p {
				t.Errorf("%s: %d found in %q", name, len(found), text)
			}
		}
		if found := l.look([]byte("nothing " + newCore(r) + p.core[:11] + " " + p.core[13:])); len(found) != 0 {
			t.Errorf("%q is said to be where it is not", found[0].core)
		}
	}
}
