// Barelist reads what a diagnosis reads, and does nothing with it: one paged protobuf LIST of each
// kind, all objects kept until the end. It is the yardstick beside which a diagnosis is measured.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

// pageSize is kubectl's (k8s.io/cli-runtime/pkg/resource, DefaultChunkSize).
const pageSize = 500

func main() {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "the cluster to read")
	flag.Parse()
	objects, requests, err := run(context.Background(), *kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, "barelist:", err)
		os.Exit(1)
	}
	fmt.Printf("%d objects in %d requests\n", len(objects), requests)
}

func run(ctx context.Context, kubeconfig string) (objects []runtime.Object, requests int, err error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, 0, fmt.Errorf("reading %s: %w", kubeconfig, err)
	}
	cfg.QPS = -1
	cfg.AcceptContentTypes = "application/vnd.kubernetes.protobuf"
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(snapshot.Scheme).WithoutConversion()
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, 0, fmt.Errorf("making a client: %w", err)
	}
	for _, k := range rule.Kinds(rules.All()) {
		cfg := rest.CopyConfig(cfg)
		cfg.APIPath = "/apis"
		if k.Group == "" {
			cfg.APIPath = "/api"
		}
		cfg.GroupVersion = &schema.GroupVersion{Group: k.Group, Version: k.Version}
		c, err := rest.RESTClientForConfigAndClient(cfg, client)
		if err != nil {
			return nil, 0, fmt.Errorf("making a client for %s: %w", k, err)
		}
		options := metav1.ListOptions{Limit: pageSize}
		for {
			list := k.NewList()
			err := c.Get().Resource(k.Resource).VersionedParams(&options, metav1.ParameterCodec).Do(ctx).Into(list)
			requests++
			if err != nil {
				return nil, 0, fmt.Errorf("listing %s: %w", k, err)
			}
			items, err := meta.ExtractList(list)
			if err != nil {
				return nil, 0, fmt.Errorf("listing %s: %w", k, err)
			}
			objects = append(objects, items...)
			page, err := meta.ListAccessor(list)
			if err != nil {
				return nil, 0, fmt.Errorf("listing %s: %w", k, err)
			}
			if options.Continue = page.GetContinue(); options.Continue == "" {
				break
			}
		}
	}
	return objects, requests, nil
}
