// Package object reads and writes Incident objects, and tells of them in Events. It writes what its book
// wants, at a bounded rate, and knows nothing of how that was found.
package object

import (
	"context"
	"fmt"
	"strconv"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// resource of Incidents.
const resource = "incidents"

// API are the requests that are made. It needs no discovery.
type API struct {
	incidents, events rest.Interface
}

// NewAPI makes the clients of an API server.
func NewAPI(cfg *rest.Config) (*API, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, eventsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("preparing to write Incidents: %w", err)
		}
	}
	// Options and failures are of this group.
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	own := rest.CopyConfig(cfg)
	own.QPS = -1 // Writers have a limit of their own.
	own.ContentType, own.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	own.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	own.WarningHandlerWithContext = rest.NoWarnings{}
	own.APIPath = "/apis"
	web, err := rest.HTTPClientFor(own)
	if err != nil {
		return nil, fmt.Errorf("preparing to write Incidents: %w", err)
	}
	clientOf := func(gv schema.GroupVersion) (rest.Interface, error) {
		of := rest.CopyConfig(own)
		of.GroupVersion = &gv
		c, err := rest.RESTClientForConfigAndClient(of, web)
		if err != nil {
			return nil, fmt.Errorf("preparing to write %s: %w", gv, err)
		}
		return c, nil
	}
	a := &API{}
	if a.incidents, err = clientOf(v1alpha1.GroupVersion); err != nil {
		return nil, err
	}
	if a.events, err = clientOf(eventsv1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	return a, nil
}

// pageSize is the limit of a LIST of Incidents, each of which may have 100 KB.
const pageSize = 100

// list returns all Incidents.
func (a *API) list(ctx context.Context) ([]v1alpha1.Incident, error) {
	var out []v1alpha1.Incident
	for next := ""; ; {
		page := &v1alpha1.IncidentList{}
		err := a.incidents.Get().Resource(resource).Param("limit", strconv.Itoa(pageSize)).Param("continue", next).Do(ctx).Into(page)
		if err != nil {
			return nil, fmt.Errorf("listing Incidents: %w", err)
		}
		out = append(out, page.Items...)
		if next = page.Continue; next == "" {
			return out, nil
		}
	}
}

func (a *API) get(ctx context.Context, name string) (*v1alpha1.Incident, error) {
	out := &v1alpha1.Incident{}
	return out, a.incidents.Get().Resource(resource).Name(name).Do(ctx).Into(out)
}

func (a *API) create(ctx context.Context, name string) (*v1alpha1.Incident, error) {
	in := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Name: name}}
	out := &v1alpha1.Incident{}
	return out, a.incidents.Post().Resource(resource).Body(in).Do(ctx).Into(out)
}

func (a *API) updateStatus(ctx context.Context, in *v1alpha1.Incident) (*v1alpha1.Incident, error) {
	out := &v1alpha1.Incident{}
	return out, a.incidents.Put().Resource(resource).Name(in.Name).SubResource("status").Body(in).Do(ctx).Into(out)
}

// remove deletes an object, unless another has taken its name or it was changed since.
func (a *API) remove(ctx context.Context, in *v1alpha1.Incident) error {
	o := &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: new(in.UID), ResourceVersion: new(in.ResourceVersion)}}
	return a.incidents.Delete().Resource(resource).Name(in.Name).Body(o).Do(ctx).Error()
}

func (a *API) createEvent(ctx context.Context, e *eventsv1.Event) error {
	return a.events.Post().Namespace(e.Namespace).Resource("events").Body(e).Do(ctx).Error()
}
