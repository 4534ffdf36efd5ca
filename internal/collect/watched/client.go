package watched

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/collect/live"
)

// connect gives each kind the requests with which it is listed and watched: its metadata alone where
// nothing else may leave the API server.
func (w *Watcher) connect() error {
	cfg := w.client.Config()
	partial, err := metadata.NewForConfigAndClient(cfg, w.client.HTTP())
	if err != nil {
		return fmt.Errorf("preparing to watch metadata: %w", err)
	}
	whole := map[schema.GroupVersion]rest.Interface{}
	for _, k := range w.kinds {
		gv := schema.GroupVersion{Group: k.Group, Version: k.Version}
		if live.MetadataOnly(k.Kind) {
			r := partial.Resource(gv.WithResource(k.Resource))
			k.list = func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				list, err := r.List(ctx, o)
				if err != nil {
					return nil, err
				}
				return k.fromMetadata(list)
			}
			k.watch = r.Watch
			continue
		}
		if whole[gv] == nil {
			own := rest.CopyConfig(cfg)
			own.APIPath, own.GroupVersion = "/apis", &gv
			if gv.Group == "" {
				own.APIPath = "/api"
			}
			if whole[gv], err = rest.RESTClientForConfigAndClient(own, w.client.HTTP()); err != nil {
				return fmt.Errorf("preparing to watch %s: %w", gv, err)
			}
		}
		c := whole[gv]
		k.list = func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list := k.NewList()
			err := c.Get().Resource(k.Resource).VersionedParams(&o, metav1.ParameterCodec).MaxRetries(0).Do(ctx).Into(list)
			return list, err
		}
		k.watch = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.Watch = true
			return c.Get().Resource(k.Resource).VersionedParams(&o, metav1.ParameterCodec).MaxRetries(0).Watch(ctx)
		}
	}
	return nil
}

// fromMetadata makes a list of the kind's own type.
func (k *kind) fromMetadata(partial *metav1.PartialObjectMetadataList) (runtime.Object, error) {
	items := make([]runtime.Object, 0, len(partial.Items))
	for i := range partial.Items {
		items = append(items, live.FromMetadata(k.Kind, &partial.Items[i]))
	}
	list := k.NewList()
	if err := meta.SetList(list, items); err != nil {
		return nil, fmt.Errorf("reading a list of %s: %w", k.GroupResource(), err)
	}
	page, err := meta.ListAccessor(list)
	if err != nil {
		return nil, fmt.Errorf("reading a list of %s: %w", k.GroupResource(), err)
	}
	page.SetResourceVersion(partial.ResourceVersion)
	page.SetContinue(partial.Continue)
	return list, nil
}

// trim prepares the objects of a list, so that what is not held is free before the next page comes. They
// are copied one by one, for who holds one of a page holds the page.
func (k *kind) trim(list runtime.Object) error {
	items, err := meta.ExtractListWithAlloc(list)
	if err != nil {
		return fmt.Errorf("reading a list of %s: %w", k.GroupResource(), err)
	}
	for _, item := range items {
		if _, err := k.store.prepare(item); err != nil {
			return err
		}
	}
	if err := meta.SetList(list, items); err != nil {
		return fmt.Errorf("reading a list of %s: %w", k.GroupResource(), err)
	}
	return nil
}
