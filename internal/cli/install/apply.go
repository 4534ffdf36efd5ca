package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/cli/exit"
)

const (
	// fieldManager under which the manifests are applied.
	fieldManager = "kubectl-maek"
	// servedTime is how long a kind may take to be served after it was defined; a second is usual.
	servedTime = 30 * time.Second
	// lookInterval is between two looks at what is awaited.
	lookInterval = time.Second
)

// applier applies manifests as kubectl apply --server-side does, and waits until what they start is up.
type applier struct {
	client client.Client
	out    io.Writer
	force  bool
}

func newApplier(cfg *rest.Config, out io.Writer, force bool) (*applier, error) {
	c, err := client.New(cfg, client.Options{})
	if err != nil {
		return nil, fmt.Errorf("preparing to write to the cluster: %w", err)
	}
	return &applier{client: c, out: out, force: force}, nil
}

// hasAgent tells whether agents were installed into a namespace before.
func (a *applier) hasAgent(ctx context.Context, namespace string) (bool, error) {
	var agents appsv1.DaemonSet
	switch err := a.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: AgentName}, &agents); {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking for agents in namespace %s: %w", namespace, err)
	}
	return true, nil
}

// apply applies documents in their order and waits, until ctx ends, for the workloads among them.
func (a *applier) apply(ctx context.Context, documents []byte) error {
	var workloads []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(documents), 4096)
	for {
		var obj unstructured.Unstructured
		if err := decoder.Decode(&obj); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("reading the manifests: %w", err)
		}
		if err := a.applyOne(ctx, &obj); err != nil {
			return err
		}
		if obj.GroupVersionKind().Group == appsv1.GroupName {
			workloads = append(workloads, &obj)
		}
	}
	for _, w := range workloads {
		if err := a.await(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// applyOne applies an object, as soon as its kind is served.
func (a *applier) applyOne(ctx context.Context, obj *unstructured.Unstructured) error {
	var err error
	options := []client.ApplyOption{client.FieldOwner(fieldManager)}
	if a.force {
		options = append(options, client.ForceOwnership)
	}
	// What was not served by then is said by the error of the last attempt.
	_ = wait.PollUntilContextTimeout(ctx, lookInterval, servedTime, true, func(ctx context.Context) (bool, error) {
		err = a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(obj.DeepCopy()), options...)
		return !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err), nil
	})
	switch {
	case apierrors.IsConflict(err):
		return exit.Misused("%s is somebody else's too: %w; write --force-conflicts to take it over", name(obj), err)
	case err != nil:
		return fmt.Errorf("applying %s: %w", name(obj), err)
	}
	_, err = fmt.Fprintf(a.out, "applied  %s\n", name(obj))
	return err
}

// await waits until all pods of a workload are of its newest template and ready.
func (a *applier) await(ctx context.Context, obj *unstructured.Unstructured) error {
	missing := ""
	err := wait.PollUntilContextCancel(ctx, lookInterval, true, func(ctx context.Context) (bool, error) {
		now := obj.DeepCopy()
		if err := a.client.Get(ctx, client.ObjectKeyFromObject(obj), now); err != nil {
			missing = err.Error()
			return false, nil //nolint:nilerr // it is told at the end, where it is still so
		}
		missing = notReady(now)
		return missing == "", nil
	})
	if err != nil {
		return fmt.Errorf("%s was applied but is not up: %s", name(obj), missing)
	}
	_, err = fmt.Fprintf(a.out, "ready    %s\n", name(obj))
	return err
}

// notReady says what a Deployment or a DaemonSet lacks; empty for nothing.
func notReady(obj *unstructured.Unstructured) string {
	status := func(field string) int64 {
		// What is no number, or absent, counts as none.
		n, _, _ := unstructured.NestedInt64(obj.Object, "status", field)
		return n
	}
	if status("observedGeneration") < obj.GetGeneration() {
		return "no controller has taken it up yet"
	}
	want, updated, ready := status("desiredNumberScheduled"), status("updatedNumberScheduled"), status("numberReady")
	if obj.GetKind() == "Deployment" {
		want, _, _ = unstructured.NestedInt64(obj.Object, "spec", "replicas")
		updated, ready = status("updatedReplicas"), status("readyReplicas")
	}
	if updated < want || ready < want {
		return fmt.Sprintf("%d of %d pods are up to date, %d ready", updated, want, ready)
	}
	return ""
}

// name of an object for people: "Deployment maek-system/maek-operator".
func name(obj *unstructured.Unstructured) string {
	return obj.GetKind() + " " + strings.TrimPrefix(obj.GetNamespace()+"/"+obj.GetName(), "/")
}
