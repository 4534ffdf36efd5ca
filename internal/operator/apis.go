package operator

import (
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	eventsv1client "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// discoverWithin bounds a question for what is served, which cannot be taken back.
const discoverWithin = 5 * time.Second

// apis are the API server's interfaces of which the operator uses a few calls each.
type apis struct {
	core         *corev1client.CoreV1Client
	coordination *coordinationv1client.CoordinationV1Client
	events       *eventsv1client.EventsV1Client
	metadata     metadata.Interface
	dynamic      dynamic.Interface
	discovery    discovery.DiscoveryInterface
}

func newAPIs(config *rest.Config, httpClient *http.Client) (a apis, err error) {
	quick := rest.CopyConfig(config)
	quick.Timeout = discoverWithin
	quickly := *httpClient
	quickly.Timeout = discoverWithin
	for _, make := range []func() error{
		func() error { a.core, err = corev1client.NewForConfigAndClient(config, httpClient); return err },
		func() error {
			a.coordination, err = coordinationv1client.NewForConfigAndClient(config, httpClient)
			return err
		},
		func() error { a.events, err = eventsv1client.NewForConfigAndClient(config, httpClient); return err },
		func() error { a.dynamic, err = dynamic.NewForConfigAndClient(config, httpClient); return err },
		func() error { a.metadata, err = metadata.NewForConfigAndClient(config, httpClient); return err },
		func() error {
			a.discovery, err = discovery.NewDiscoveryClientForConfigAndClient(quick, &quickly)
			return err
		},
	} {
		if err := make(); err != nil {
			return apis{}, fmt.Errorf("preparing to ask the API server: %w", err)
		}
	}
	return a, nil
}
