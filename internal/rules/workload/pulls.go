package workload

import (
	"regexp"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// pullClass is why an image could not be pulled.
type pullClass int

const (
	pullOther        pullClass = iota // none of the others, or passing by itself
	pullInvalidName                   // the reference cannot be parsed
	pullNever                         // the policy is Never and the image is not on the node
	pullNoPlatform                    // the image has no build for the node's platform
	pullNotFound                      // the registry says that there is no such image
	pullDenied                        // the registry refuses this client
	pullNoName                        // the registry's name cannot be resolved
	pullNoConnection                  // the registry cannot be connected to
	pullTLS                           // no secure connection comes about
	pullLimited                       // the registry refuses more pulls for now
	pullServerError                   // the registry answers with an error of its own
)

// pullTexts are what container runtimes say, in the order in which they are tried: what stops a
// pull earlier goes first, since a failed request for a token also speaks of authorization.
//
// containerd 2: core/remotes/docker/{resolver,authorizer}.go, core/remotes/errors/errors.go;
// CRI-O by way of go.podman.io/image, docker/errors.go; registries by the error codes of
// https://distribution.github.io/distribution/spec/api/#errors-2.
//
// They are looked for without regular expressions where that is possible: thousands of pods can fail
// alike, and each rule about pulls asks for the class of each.
var pullTexts = []pullText{
	{says: []string{"failed to parse image reference", "invalid reference format"}, class: pullInvalidName},
	{says: []string{"429 Too Many Requests"}, anyCase: "toomanyrequests", class: pullLimited},
	{says: []string{"x509: ", "tls: ", "server gave HTTP response to HTTPS client"}, class: pullTLS},
	{
		says: []string{
			"connection refused", "i/o timeout", "TLS handshake timeout", "no route to host", "network is unreachable",
			"connection reset by peer", "context deadline exceeded", "Client.Timeout exceeded",
		},
		end: ": EOF", class: pullNoConnection,
	},
	{says: []string{"received unexpected HTTP status: 5"}, with: ": 5", like: regexp.MustCompile(`: 5\d\d [A-Z]`), class: pullServerError},
	{
		says: []string{
			"401 Unauthorized", "403 Forbidden", "authorization failed", "pull access denied", "insufficient_scope", "no basic auth credentials",
			"access to the resource is denied", "missing username or secret", "failed to fetch anonymous token", "failed to fetch oauth token",
		},
		with: "ed: ", like: regexp.MustCompile(`\b(?:unauthorized|denied): `), class: pullDenied,
	},
	{says: []string{"no match for platform", "no image found in manifest list for architecture", "no image found in image index for architecture"}, class: pullNoPlatform},
	{
		says:    []string{"manifest unknown", "name unknown", "repository name not known", "404 Not Found", ": not found:"},
		anyCase: "manifest_unknown", end: ": not found", class: pullNotFound,
	},
	{anyCase: "name_unknown", class: pullNotFound},
}

// pullText is how a class of failed pulls is told from the others: by any one of its fields.
type pullText struct {
	// says are parts of the message, anyCase one in whatever case, end its end; empty means none.
	says    []string
	anyCase string
	end     string
	// like is what a part of the message looks like, which is only tried where it has with in it.
	like *regexp.Regexp
	with string

	class pullClass
}

func (t pullText) matches(message, lower string) bool {
	return slices.ContainsFunc(t.says, func(part string) bool { return strings.Contains(message, part) }) ||
		t.anyCase != "" && strings.Contains(lower, t.anyCase) ||
		t.end != "" && strings.HasSuffix(message, t.end) ||
		t.like != nil && strings.Contains(message, t.with) && t.like.MatchString(message)
}

// classifyPull tells why a pull failed, by the words of whoever failed.
func classifyPull(f snapshot.PullFailure) pullClass {
	switch f.Reason {
	case "InvalidImageName":
		return pullInvalidName
	case "ErrImageNeverPull":
		return pullNever
	}
	if _, ok := snapshot.ParseLookUp(f.Message); ok {
		return pullNoName
	}
	lower := strings.ToLower(f.Message)
	for _, t := range pullTexts {
		if t.matches(f.Message, lower) {
			return t.class
		}
	}
	return pullOther
}

// pullPatience is how long a pull must have failed to be a root of its own: the kubelet has tried
// again twice by then (it waits 10 s, then 20 s; k8s.io/kubernetes/pkg/kubelet, imageBackOffPeriod).
const pullPatience = 30 * time.Second

// pullNeeds are the kinds that the rules about pulls read.
func pullNeeds() []rule.Need {
	return append([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*corev1.Event](), rule.Optional[*coordinationv1.Lease](),
	}, historyNeeds()...)
}

// failedPulls returns the failed pulls of the given classes, by workload.
func failedPulls(p *rule.Pass, classes ...pullClass) []group[snapshot.PullFailure] {
	wanted := map[pullClass]bool{}
	for _, c := range classes {
		wanted[c] = true
	}
	var failures []snapshot.PullFailure
	for _, f := range p.PullFailures() {
		if wanted[classifyPull(f)] {
			failures = append(failures, f)
		}
	}
	return groupBy(failures, func(f snapshot.PullFailure) finding.Subject { return p.Workload(f.Pod) })
}

func pullPods(failures []snapshot.PullFailure) []*corev1.Pod {
	return distinctPods(failures, func(f snapshot.PullFailure) *corev1.Pod { return f.Pod })
}

// pullSince is when the first of several pulls failed.
func pullSince(failures []snapshot.PullFailure) time.Time {
	var first time.Time
	for _, f := range failures {
		if !f.Since.IsZero() && (first.IsZero() || f.Since.Before(first)) {
			first = f.Since
		}
	}
	return first
}

// pullEvidence quotes a failed pull.
func pullEvidence(f snapshot.PullFailure) finding.Evidence {
	list := "containerStatuses"
	if f.Init {
		list = "initContainerStatuses"
	}
	value := f.Reason
	if f.Message != "" {
		value += ": " + reasonOf(f.Message)
	}
	return finding.Evidence{
		Source: finding.Named(snapshot.SubjectOf(f.Pod)), Path: ".status." + list + "[" + f.Container + "].state.waiting",
		Value: finding.Quote(value), At: finding.Timestamp(f.Since),
	}
}

// images names the images of failed pulls, each once, in order.
func imagesOf(failures []snapshot.PullFailure) finding.Text {
	var names []string
	for _, f := range failures {
		names = append(names, clip(f.Image, imageRunes))
	}
	return finding.List(names)
}

// imageRunes bounds an image reference in a sentence; the longest valid one is little longer
// (https://distribution.github.io/distribution/spec/api/#overview).
const imageRunes = 200

// reasonOf drops from a runtime's message what is wrapped around the reason: the heads of kubelet,
// gRPC and containerd, and the reference, which is said already.
func reasonOf(message string) string {
	for _, head := range []string{"failed to resolve image: ", "failed to copy: ", " desc = ", "ErrImagePull: "} {
		if _, tail, ok := strings.Cut(message, head); ok {
			return tail
		}
	}
	return message
}

// inQuotes sets a message apart from the sentence in which it stands.
func inQuotes(message string) finding.Text {
	return finding.Verbatim("“" + finding.Quote(message) + "”")
}
