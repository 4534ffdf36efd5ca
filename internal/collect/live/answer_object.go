package live

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/snapshot"
)

// configMapValue reads one value of a ConfigMap, redacted.
func (c *Client) configMapValue(ctx context.Context, q snapshot.Question) snapshot.Answer {
	var m corev1.ConfigMap
	err := c.rest.Get().AbsPath("/api/v1/namespaces", q.Namespace, "configmaps", q.Name).MaxRetries(0).Do(ctx).Into(&m)
	if err != nil {
		return failedAnswer(err)
	}
	value, ok := m.Data[q.Key]
	if !ok {
		return snapshot.Answer{Outcome: snapshot.Absent, Error: "the ConfigMap has no key " + q.Key}
	}
	return snapshot.Answer{Outcome: snapshot.Answered, Text: value}
}

// certificateOf reads the certificates of a TLS Secret. The API server cannot leave out the key, so it
// passes through here; it is overwritten before anything else is done.
func (c *Client) certificateOf(ctx context.Context, q snapshot.Question) snapshot.Answer {
	var s corev1.Secret
	err := c.rest.Get().AbsPath("/api/v1/namespaces", q.Namespace, "secrets", q.Name).MaxRetries(0).Do(ctx).Into(&s)
	for name, value := range s.Data {
		if name != corev1.TLSCertKey {
			clear(value)
		}
	}
	certificates := s.Data[corev1.TLSCertKey]
	defer clear(certificates)
	switch {
	case err != nil:
		return failedAnswer(err)
	case s.Type != corev1.SecretTypeTLS:
		return snapshot.Answer{Outcome: snapshot.Errored, Error: "the Secret is of type " + string(s.Type) + ", and only certificates of type kubernetes.io/tls are read"}
	}
	text, err := collect.Certificates(certificates)
	if err != nil {
		return snapshot.Answer{Outcome: snapshot.Errored, Error: err.Error()}
	}
	return snapshot.Answer{Outcome: snapshot.Answered, Text: text}
}

// metrics reads those of the API server's metrics that rules read, line by line: the whole page is
// megabytes on a large cluster. Behind a load balancer they are one server's.
func (c *Client) metrics(ctx context.Context) snapshot.Answer {
	body, err := c.rest.Get().AbsPath("/metrics").MaxRetries(0).SetHeader("Accept", "text/plain").Stream(ctx)
	if err != nil {
		return failedAnswer(err)
	}
	defer func() { _ = body.Close() }()
	text, err := collect.Metrics(body)
	if err != nil {
		return failedAnswer(err)
	}
	return snapshot.Answer{Outcome: snapshot.Answered, Text: text}
}
