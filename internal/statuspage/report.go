package statuspage

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/secret"
)

// report takes in the reports of an API's checker pods. Neither what a report says nor whose it is
// reaches the log here; the Reporter, who knows the check, has its say.
func (p *Page) report(api kuberhealthy.API, places *gate) http.Handler {
	held := newAccount()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Nobody reports twice, and version 2's JavaScript client lives for as long as its connection.
		w.Header().Set("Connection", "close")
		ctx, cancel := context.WithTimeout(r.Context(), reportTime)
		defer cancel()
		sender := source(r)
		body := held.reading(sender, r.Body)
		defer body.close()
		report, err := kuberhealthy.ReadReport(api, r.Method, r.Header, body)
		switch refusal, refused := errors.AsType[*kuberhealthy.Refusal](err); {
		case errors.Is(err, kuberhealthy.ErrNoReport):
			answer(w, http.StatusOK, "checker pods report here by POST\n")
			return
		case body.full:
			unavailable(w, "too many reports at once")
			return
		case refused:
			refuse(w, refusal)
			return
		case err != nil:
			answer(w, http.StatusBadRequest, "the report could not be read")
			return
		}
		from := kuberhealthy.Origin{API: api, RunID: r.Header.Get(kuberhealthy.HeaderRunID)}
		if api == kuberhealthy.V2 && p.Settings().Compatibility {
			from.Address = sender
		}
		if from.RunID == "" && !from.Address.IsValid() {
			refuse(w, kuberhealthy.Unknown(from.API, ""))
			return
		}
		leave, err := places.enter(ctx, sender)
		if err != nil {
			unavailable(w, "too many reports at once")
			return
		}
		defer leave()
		p.pass(ctx, w, from, report)
	})
}

// pass hands a report on and answers with what came of it.
func (p *Page) pass(ctx context.Context, w http.ResponseWriter, from kuberhealthy.Origin, report kuberhealthy.Report) {
	err := p.Reporter.Report(ctx, from, report)
	switch refusal, refused := errors.AsType[*kuberhealthy.Refusal](err); {
	case err == nil:
		w.WriteHeader(http.StatusOK)
	case refused:
		refuse(w, refusal)
	default:
		text := err.Error()
		if from.RunID != "" {
			text = strings.ReplaceAll(text, from.RunID, secret.Blot)
		}
		p.Log.Warn("a report could not be stored", "from", from.Address, "error", text)
		unavailable(w, "the report could not be stored just now")
	}
}

func refuse(w http.ResponseWriter, refusal *kuberhealthy.Refusal) {
	switch refusal.Status {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", "GET, HEAD, POST")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	}
	answer(w, refusal.Status, refusal.Message)
}

// source is the address that a request came from: that of its connection. A header that names another,
// such as X-Forwarded-For, is anybody's to write, and this address stands for a token.
func source(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap().WithZone("")
}
