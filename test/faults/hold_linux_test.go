package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// hold says what of the expectations is not so.
func (h *hand) hold(ctx context.Context, all []Expectation) error {
	for _, e := range all {
		if err := h.holds(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (h *hand) holds(ctx context.Context, e Expectation) error {
	switch {
	case e.Stopped != "":
		if h.world.Running(e.Stopped) {
			return fmt.Errorf("%s runs", e.Stopped)
		}
		return nil
	case e.Running != "":
		if !h.world.Running(e.Running) {
			return fmt.Errorf("%s does not run", e.Running)
		}
		return nil
	case e.ReadFails != "":
		_, err := h.list(ctx, Reference{APIVersion: "v1", Kind: "Namespace"})
		return fails("reading", err, e.ReadFails)
	case e.WriteFails != "":
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "default", "generateName": "armed-"}}}
		return fails("writing", h.world.Client.Create(ctx, o), e.WriteFails)
	case e.CreateFails != nil:
		o := &unstructured.Unstructured{Object: e.CreateFails.Object}
		var options []client.CreateOption
		if !e.CreateFails.Really {
			options = append(options, client.DryRunAll)
		}
		return fails("making "+named(o), h.world.Client.Create(ctx, o.DeepCopy(), options...), e.CreateFails.Matches)
	default:
		return h.reads(ctx, e)
	}
}

func fails(what string, err error, pattern string) error {
	if err == nil {
		return fmt.Errorf("%s works", what)
	}
	if !regexp.MustCompile(pattern).MatchString(err.Error()) {
		return fmt.Errorf("%s fails with %w, not %s", what, err, pattern)
	}
	return nil
}

func (h *hand) reads(ctx context.Context, e Expectation) error {
	var read map[string]any
	var err error
	if e.Get.Name != "" {
		var o *unstructured.Unstructured
		if o, err = h.get(ctx, object(*e.Get)); err == nil {
			read = o.Object
		}
	} else {
		var l *unstructured.UnstructuredList
		if l, err = h.list(ctx, *e.Get); err == nil {
			read = l.UnstructuredContent()
		}
	}
	if e.Absent {
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return nil
		}
		return errors.Join(fmt.Errorf("%s %s is there", e.Get.Kind, e.Get.Name), err)
	}
	if err != nil {
		return fmt.Errorf("reading %s %s: %w", e.Get.Kind, e.Get.Name, err)
	}
	path := jsonpath.New("expectation").AllowMissingKeys(true)
	if err := path.Parse(e.Path); err != nil {
		return fmt.Errorf("reading the path %s: %w", e.Path, err)
	}
	var got bytes.Buffer
	if err := path.Execute(&got, read); err != nil {
		return fmt.Errorf("following the path %s: %w", e.Path, err)
	}
	if !regexp.MustCompile(e.Matches).Match(got.Bytes()) {
		return fmt.Errorf("%s of %s %s is %q, not %s", e.Path, e.Get.Kind, e.Get.Name, got.String(), e.Matches)
	}
	return nil
}

func object(r Reference) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(schema.FromAPIVersionAndKind(r.APIVersion, r.Kind))
	o.SetNamespace(r.Namespace)
	o.SetName(r.Name)
	return o
}

func (h *hand) get(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(o.GroupVersionKind())
	err := h.world.Client.Get(ctx, client.ObjectKeyFromObject(o), now)
	return now, err
}

func (h *hand) list(ctx context.Context, r Reference) (*unstructured.UnstructuredList, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.FromAPIVersionAndKind(r.APIVersion, r.Kind+"List"))
	if err := h.world.Client.List(ctx, list, client.InNamespace(r.Namespace), client.MatchingLabels(r.Labels)); err != nil {
		return nil, fmt.Errorf("listing %s: %w", r.Kind, err)
	}
	return list, nil
}

func named(o *unstructured.Unstructured) string {
	return strings.TrimSpace(o.GetKind() + " " + strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/"))
}
