package synthetic

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// attemptTime bounds one request through the Service.
	attemptTime = 5 * time.Second
	// programmingTime is how long a new Service may take to pass requests on: kube-proxy and DNS are
	// told of it one after the other.
	programmingTime = time.Minute
	// requestPause lies between two requests during a rolling update.
	requestPause = 100 * time.Millisecond
)

// dialer connects, as net.Dialer.DialContext does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// target is the Service under a host.
func (p *rollout) target(host string) httpTarget {
	address := net.JoinHostPort(host, strconv.Itoa(p.options.servicePort))
	return httpTarget{
		address: &url.URL{Scheme: "http", Host: address, Path: "/"}, method: http.MethodGet, status: http.StatusOK,
		// A connection for each request: one that is kept would stay with its pod.
		client: &http.Client{Timeout: attemptTime, Transport: &http.Transport{DialContext: p.dial, DisableKeepAlives: true}},
	}
}

// address is the Service's, by which a request needs no DNS; "" where it has none.
func (p *rollout) address() string {
	for _, s := range p.services.All() {
		if s.Name == p.service.Name && s.Spec.ClusterIP != corev1.ClusterIPNone {
			return s.Spec.ClusterIP
		}
	}
	return ""
}

// inside tells that the Service's network is there: outside the cluster nothing routes to it.
func (p *rollout) inside() bool { return p.env.Pod != "" }

// request sends one through the Service by its address, and one by its name.
func (p *rollout) request(ctx context.Context, r *Result) bool {
	if !p.inside() {
		note := "no request was sent through the Service: this was run outside the cluster"
		r.Notes = append(r.Notes, note)
		return true
	}
	ip := p.address()
	if ip == "" {
		r.Errors = append(r.Errors, fmt.Sprintf("Service %s/%s was given no cluster address", p.service.Namespace, p.service.Name))
		return false
	}
	if err := p.reach(ctx, ip); err != nil {
		r.Errors = append(r.Errors, fmt.Sprintf("no request to Service %s/%s at %s succeeded within %s, while its pods are ready: %v",
			p.service.Namespace, p.service.Name, net.JoinHostPort(ip, strconv.Itoa(p.options.servicePort)), programmingTime, err))
		return false
	}
	host := p.service.Name + "." + p.service.Namespace + ".svc"
	if err := p.reach(ctx, host); err != nil {
		r.Errors = append(r.Errors, fmt.Sprintf("no request to %s succeeded within %s, while the Service answers at its address %s: %v", host, programmingTime, ip, err))
		return false
	}
	return true
}

// reach tries until a request succeeds, and returns the last failure where none does.
func (p *rollout) reach(ctx context.Context, host string) error {
	began := p.env.Clock.Now()
	target := p.target(host)
	for {
		err := target.try(ctx)
		if err == nil || p.env.Clock.Since(began) >= programmingTime || !waitFor(ctx, p.env, time.Second) {
			return err
		}
	}
}

// traffic is what became of the requests during a rolling update.
type traffic struct {
	sent, failed int
	// first failure, when it was, and how long after the update began.
	first error
	at    time.Time
	after time.Duration
}

// count sends requests one after the other until ctx ends.
func (p *rollout) count(ctx context.Context, began time.Time) traffic {
	var seen traffic
	ip := ""
	if p.inside() {
		ip = p.address()
	}
	if ip == "" {
		<-ctx.Done()
		return seen
	}
	target := p.target(ip)
	for {
		at := p.env.Clock.Now()
		err := target.try(ctx)
		if ctx.Err() != nil {
			return seen // Cut off by the end of the update: that says nothing about the Service.
		}
		seen.sent++
		if err != nil {
			if seen.failed == 0 {
				seen.first, seen.at, seen.after = err, at, at.Sub(began)
			}
			seen.failed++
		}
		if !waitFor(ctx, p.env, requestPause) {
			return seen
		}
	}
}

// judge reports requests that failed during the rolling update. With an image of the user's that is
// no failure of the cluster for certain: the image may stop before the last request has reached it.
func (p *rollout) judge(seen traffic, r *Result) {
	if seen.failed == 0 {
		return
	}
	text := fmt.Sprintf("%d of %d requests through Service %s/%s failed during the rolling update, the first at %s, %s after it began: %v",
		seen.failed, seen.sent, p.service.Namespace, p.service.Name, seen.at.UTC().Format(time.RFC3339), seen.after.Round(time.Millisecond), seen.first)
	if p.options.ownImage() && p.options.rollTo == "" {
		r.Errors = append(r.Errors, text)
		return
	}
	r.Notes = append(r.Notes, text+"; the image may end without waiting for requests that are still on their way")
}
