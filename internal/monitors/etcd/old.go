package etcd

import (
	"context"
	"crypto/tls"
	"strconv"
	"time"
)

// oldView is what a member of etcd 2 says.
type oldView struct {
	version string
	leader  uint64
	healthy bool
}

// askOld asks a member that answers, but not the third API, by the second. Where it does not know that
// either, the view stays as it was.
func askOld(ctx context.Context, v view, config *tls.Config, now func() time.Time) view {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := now()
	api := V2{URL: v.url, HTTP: browser(config)}
	listed, err := api.Members(ctx)
	if err != nil {
		return v
	}
	out := view{url: v.url, answer: answered, took: now().Sub(began), certificate: v.certificate, old: &oldView{}}
	for _, m := range listed {
		id, err := strconv.ParseUint(m.ID, 16, 64)
		if err != nil {
			return v
		}
		out.members = append(out.members, member{ID: id, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs})
	}
	if out.old.version, err = api.Version(ctx); err != nil {
		return v
	}
	leader, own, err := api.self(ctx)
	if err != nil {
		return v
	}
	out.id, _ = strconv.ParseUint(own, 16, 64)
	out.old.leader, _ = strconv.ParseUint(leader, 16, 64)
	// Its /health asks a majority.
	healthy, err := api.Healthy(ctx)
	out.old.healthy = healthy && err == nil
	out.quorumRead, out.ownRead = answered, answered
	if !out.old.healthy {
		out.quorumRead, out.quorumReason = failed, "/health is false"
	}
	return out
}
