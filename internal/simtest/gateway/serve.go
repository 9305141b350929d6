package gateway

import (
	"fmt"
	"net/http"
	"os"
	"strings"
)

// handler serves /health (it answers; in it, on which provider it runs) and
// /ready (its provider answers it).
func (a *agent) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {
		if k, err := readKnobs(a.knobFile); a.stuck.Load() || err == nil && k.has("hang") {
			<-r.Context().Done()
			return
		}
		fmt.Fprintf(w, `{"ok": true, "provider": %q}`+"\n", strings.Join(values(*a.config.Load(), "provider"), ","))
	})
	mux.HandleFunc("/ready", func(w http.ResponseWriter, r *http.Request) {
		k, err := readKnobs(a.knobFile)
		if err != nil {
			http.Error(w, "no knobs", http.StatusInternalServerError)
			return
		}
		switch answer := a.provider(k); answer {
		case "ok":
			fmt.Fprintln(w, "ok")
		case "timeout":
			<-r.Context().Done()
		default:
			http.Error(w, "the provider answers "+answer, http.StatusServiceUnavailable)
		}
	})
	return mux
}

// provider is how the provider answers this agent: ok, 401 or timeout.
func (a *agent) provider(k knobs) string {
	if answer := k.word("upstream", 0); answer != "" && answer != "ok" {
		return answer
	}
	if a.locked.Load() {
		return "401"
	}
	for _, demand := range k["key"] {
		for _, value := range values(*a.config.Load(), demand[0]) {
			if name, ok := strings.CutPrefix(value, "${"); ok {
				value = os.Getenv(strings.TrimSuffix(name, "}"))
			}
			if !strings.HasPrefix(value, demand[1]) {
				return "401"
			}
		}
	}
	for _, route := range k["routes"] {
		name, address := values(*a.config.Load(), route[0]), values(*a.config.Load(), route[1])
		if len(name) != 1 || len(address) != 1 || !strings.Contains(address[0], name[0]) {
			return "401"
		}
	}
	return "ok"
}
