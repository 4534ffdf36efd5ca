package apiserver

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Selection is what is watched: objects of one kind.
type Selection struct {
	example  runtime.Object
	list     func() runtime.Object
	client   func(*Client) rest.Interface
	resource string
	// namespace they are in; empty for kinds that have none.
	namespace string
	options   metav1.ListOptions
}

// Nodes are all Nodes.
func Nodes() Selection {
	return Selection{
		example: &corev1.Node{}, list: func() runtime.Object { return &corev1.NodeList{} },
		client: (*Client).coreClient, resource: "nodes",
	}
}

// Pods are those of a namespace that carry labels.
func Pods(namespace, labels string) Selection {
	return Selection{
		example: &corev1.Pod{}, list: func() runtime.Object { return &corev1.PodList{} },
		client: (*Client).coreClient, resource: "pods", namespace: namespace, options: metav1.ListOptions{LabelSelector: labels},
	}
}

// Service is one.
func Service(namespace, name string) Selection {
	return Selection{
		example: &corev1.Service{}, list: func() runtime.Object { return &corev1.ServiceList{} },
		client: (*Client).coreClient, resource: "services", namespace: namespace, options: named(name),
	}
}

// ConfigMap is one.
func ConfigMap(namespace, name string) Selection {
	return Selection{
		example: &corev1.ConfigMap{}, list: func() runtime.Object { return &corev1.ConfigMapList{} },
		client: (*Client).coreClient, resource: "configmaps", namespace: namespace, options: named(name),
	}
}

// EndpointSlices are those of a Service.
func EndpointSlices(namespace, service string) Selection {
	return Selection{
		example: &discoveryv1.EndpointSlice{}, list: func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
		client:   func(c *Client) rest.Interface { return c.discovery },
		resource: "endpointslices", namespace: namespace,
		options: metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service},
	}
}

func (c *Client) coreClient() rest.Interface { return c.core }

// Watch follows a selection until the context ends: store is told of all objects, and of every change.
// Transform makes each small before it is kept anywhere.
func (c *Client) Watch(ctx context.Context, s Selection, store cache.ReflectorStore) {
	client := s.client(c)
	request := func(options metav1.ListOptions) *rest.Request {
		options.FieldSelector, options.LabelSelector = s.options.FieldSelector, s.options.LabelSelector
		r := client.Get().Resource(s.resource).VersionedParams(&options, c.parameters)
		if s.namespace != "" {
			r = r.Namespace(s.namespace)
		}
		if options.TimeoutSeconds != nil {
			r = r.Timeout(time.Duration(*options.TimeoutSeconds) * time.Second)
		}
		return r
	}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			out := s.list()
			if err := request(options).Do(ctx).Into(out); err != nil {
				return nil, fmt.Errorf("listing %s: %w", s.resource, err)
			}
			return out, nil
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.Watch = true
			return request(options).Watch(ctx)
		},
	}
	cache.NewReflectorWithOptions(source, s.example, store, cache.ReflectorOptions{Name: s.resource}).RunWithContext(ctx)
}
