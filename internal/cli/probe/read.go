package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Bounds of what is read of a namespace, in objects.
const (
	eventsRead   = 500
	slicesRead   = 2000
	servicesRead = 2000
)

// evidence is all that was read of a target.
type evidence struct {
	target target
	// pods that are looked at, the worst first, and more that are not.
	pods []*corev1.Pod
	more int
	// events about the pods, the oldest first.
	events []*corev1.Event
	// slices and services of the namespace.
	slices   []*discoveryv1.EndpointSlice
	services []*corev1.Service
	// nodes of the pods, by name.
	nodes map[string]*corev1.Node
	// metrics are the kubelets' counters, by node.
	metrics map[string]snapshot.Metrics
	// missing is what could not be read.
	missing []finding.Text
}

// reader reads a cluster.
type reader struct {
	client client.WithWatch
	config *rest.Config
}

func newReader(cfg *rest.Config) (*reader, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, discoveryv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("preparing to read the cluster: %w", err)
		}
	}
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme, Mapper: mapper()})
	if err != nil {
		return nil, fmt.Errorf("preparing to read the cluster: %w", err)
	}
	return &reader{client: c, config: cfg}, nil
}

// mapper knows the few kinds that are read, so that the server need not be asked for all that it has.
func mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for gv, kinds := range map[schema.GroupVersion][]string{
		corev1.SchemeGroupVersion:      {"Pod", "Event", "Service", "ReplicationController"},
		appsv1.SchemeGroupVersion:      {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"},
		batchv1.SchemeGroupVersion:     {"Job", "CronJob"},
		discoveryv1.SchemeGroupVersion: {"EndpointSlice"},
	} {
		for _, kind := range kinds {
			m.Add(gv.WithKind(kind), meta.RESTScopeNamespace)
		}
	}
	m.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	m.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	return m
}

// read reads the target and what bears on its probes. The error is about the target alone: whatever else
// cannot be read is told in the evidence.
func (r *reader) read(ctx context.Context, t target) (*evidence, error) {
	found, more, err := r.pods(ctx, t)
	if err != nil {
		return nil, err
	}
	e := &evidence{target: t, pods: found, more: more, nodes: map[string]*corev1.Node{}, metrics: map[string]snapshot.Metrics{}}
	r.readEvents(ctx, e)
	r.readServices(ctx, e)
	r.readNodes(ctx, e)
	return e, nil
}

// around reads anew what bears on the probes of pods that are watched and is not watched itself. What cannot be read
// now stays as it was.
func (r *reader) around(ctx context.Context, old *evidence) *evidence {
	e := &evidence{target: old.target, pods: old.pods, events: old.events, nodes: map[string]*corev1.Node{}, metrics: map[string]snapshot.Metrics{}}
	for _, text := range old.missing {
		if strings.HasPrefix(text.EN, eventsMissing) {
			e.missing = append(e.missing, text)
		}
	}
	r.readServices(ctx, e)
	if e.lacks(servicesMissing) {
		e.services = old.services
	}
	r.readNodes(ctx, e)
	for name, node := range old.nodes {
		if _, read := e.nodes[name]; !read {
			e.nodes[name] = node
		}
	}
	return e
}

// What texts about things that could not be read begin with.
const (
	eventsMissing   = "Events "
	slicesMissing   = "EndpointSlices "
	servicesMissing = "Services "
)

func (r *reader) readNodes(ctx context.Context, e *evidence) {
	for _, pod := range e.pods {
		if name := pod.Spec.NodeName; name != "" && e.nodes[name] == nil {
			r.readNode(ctx, e, name)
		}
	}
}

func (r *reader) readEvents(ctx context.Context, e *evidence) {
	for _, pod := range e.pods {
		list := &corev1.EventList{}
		err := r.client.List(ctx, list, client.InNamespace(pod.Namespace), client.Limit(eventsRead),
			client.MatchingFields{"involvedObject.kind": "Pod", "involvedObject.name": pod.Name})
		if err != nil {
			e.missing = append(e.missing, unreadable(finding.Verbatim("Events"), "list on events", err))
			return
		}
		for i := range list.Items {
			if about(&list.Items[i], pod) {
				e.events = append(e.events, &list.Items[i])
			}
		}
	}
	slices.SortStableFunc(e.events, func(a, b *corev1.Event) int {
		return snapshot.EventTime(a).Compare(snapshot.EventTime(b))
	})
}

// about tells whether an event is about this very pod, and not an earlier one of its name.
func about(event *corev1.Event, pod *corev1.Pod) bool {
	o := event.InvolvedObject
	return o.Kind == "Pod" && o.Namespace == pod.Namespace && o.Name == pod.Name && (o.UID == "" || pod.UID == "" || o.UID == pod.UID)
}

func (r *reader) readServices(ctx context.Context, e *evidence) {
	inNamespace := client.InNamespace(e.target.namespace)
	list := &discoveryv1.EndpointSliceList{}
	if err := r.client.List(ctx, list, inNamespace, client.Limit(slicesRead)); err != nil {
		e.missing = append(e.missing, unreadable(finding.Verbatim("EndpointSlices"), "list on endpointslices.discovery.k8s.io", err))
	}
	for i := range list.Items {
		e.slices = append(e.slices, &list.Items[i])
	}
	services := &corev1.ServiceList{}
	if err := r.client.List(ctx, services, inNamespace, client.Limit(servicesRead)); err != nil {
		e.missing = append(e.missing, unreadable(finding.Verbatim("Services"), "list on services", err))
	}
	for i := range services.Items {
		e.services = append(e.services, &services.Items[i])
	}
	if list.Continue != "" || services.Continue != "" {
		e.missing = append(e.missing, finding.Textf("Services: the namespace has more than were read", "Service: Namespace에 읽은 것보다 더 많이 있습니다"))
	}
}

func (r *reader) readNode(ctx context.Context, e *evidence, name string) {
	node := &corev1.Node{}
	if err := r.client.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
		if !apierrors.IsNotFound(err) {
			e.missing = append(e.missing, unreadable(finding.Verbatim("Node "+name), "get on nodes", err))
			return
		}
		node = nil
	}
	e.nodes[name] = node
	if node == nil || lost(node) {
		return
	}
	metrics, err := r.proberMetrics(ctx, name)
	if err != nil {
		e.missing = append(e.missing, unreadable(finding.Textf("the kubelet's counters on %s", "노드 %s의 kubelet 집계", name), "get on nodes/proxy", err))
		return
	}
	e.metrics[name] = metrics
}

// unreadable says of something that it could not be read, and what right it takes where that is why.
func unreadable(what finding.Text, right string, err error) finding.Text {
	if apierrors.IsForbidden(err) {
		return finding.Format("%s (forbidden: needs %s)", "%s (권한 없음: %s 필요)", what, finding.Verbatim(right))
	}
	return finding.Format("%s (%s)", "%s (%s)", what, finding.Verbatim(said(err.Error())))
}

// said is what somebody else wrote, on one line and without what looks like a credential.
func said(text string) string { return finding.Quote(secret.Redact(text[:min(saidRead, len(text))])) }

// saidRead is how many bytes of what somebody else wrote are looked at: far more than a quote has.
const saidRead = 16 << 10

// lost tells whether a node's kubelet has ceased to report.
func lost(node *corev1.Node) bool {
	c := snapshot.NodeCondition(node, corev1.NodeReady)
	return c != nil && c.Status == corev1.ConditionUnknown
}
