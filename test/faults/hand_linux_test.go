package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/test/faults/controlplane"
)

// stepAtMost bounds one step.
const stepAtMost = 3 * time.Minute

// How patient the one who drains is.
const (
	drainEvery = 5 * time.Second
	drainTries = 8
)

// editor is the name under which objects are changed, as managedFields show it.
const editor = client.FieldOwner("kubectl-edit")

// hand does what a script says, and undoes it.
type hand struct {
	world *settled
	undos []func(context.Context) error
}

func (h *hand) later(undo func(context.Context) error) { h.undos = append(h.undos, undo) }

// undo restores, then takes back every step, the last first. A world of the scenario's own is
// thrown away instead, for which nothing is lost when an undo fails there.
func (h *hand) undo(ctx context.Context, restore []Step) error {
	failures := []error{h.do(ctx, restore)}
	undos := h.undos
	h.undos = nil
	for _, undo := range slices.Backward(undos) {
		failures = append(failures, undo(ctx))
	}
	failures = append(failures, h.world.Heal(ctx))
	return errors.Join(failures...)
}

func (h *hand) do(ctx context.Context, steps []Step) error {
	for i, step := range steps {
		if err := h.step(ctx, step); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

func (h *hand) step(ctx context.Context, s Step) error {
	ctx, cancel := context.WithTimeout(ctx, stepAtMost)
	defer cancel()
	switch {
	case s.Apply != nil:
		for _, o := range s.Apply {
			if err := h.apply(ctx, &unstructured.Unstructured{Object: o}); err != nil {
				return err
			}
		}
		return nil
	case s.Patch != nil:
		return h.patch(ctx, s.Patch)
	case s.Delete != nil:
		return h.delete(ctx, s.Delete)
	case s.Stop != "":
		h.later(func(ctx context.Context) error {
			if h.world.Running(s.Stop) {
				return nil
			}
			return h.world.StartComponent(ctx, s.Stop)
		})
		return h.world.StopComponent(s.Stop)
	case s.Start != "":
		return h.world.StartComponent(ctx, s.Start)
	case s.Restart != nil:
		return h.restart(ctx, s.Restart)
	case s.Forget != "":
		return h.world.ForgetData(s.Forget)
	case s.Node != nil:
		return h.nodeFault(ctx, s.Node)
	case s.Program != nil:
		return h.program(s.Program)
	case s.Image != nil:
		h.world.SetImage(s.Image.Name, s.Image.Architecture)
		return nil
	case s.Usage != nil:
		h.world.SetUsage(s.Usage.Namespace, s.Usage.Claim, s.Usage.Bytes)
		h.later(func(context.Context) error { h.world.SetUsage(s.Usage.Namespace, s.Usage.Claim, 9<<20); return nil })
		return nil
	case s.Drain != "":
		return h.drain(ctx, s.Drain)
	case s.Fill != nil:
		return h.fill(ctx, s.Fill)
	case s.Expire != "":
		return h.world.CertifyAPIServer(time.Now().Add(-time.Hour))
	case s.Flood != nil:
		return h.flood(ctx, s.Flood)
	default:
		var last error
		err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, stepAtMost, true, func(ctx context.Context) (bool, error) {
			last = h.hold(ctx, s.Until)
			return last == nil, nil
		})
		if err != nil {
			return fmt.Errorf("waiting: %w", last)
		}
		return nil
	}
}

// apply makes an object, or merges it into the one that is there.
func (h *hand) apply(ctx context.Context, o *unstructured.Unstructured) error {
	old, err := h.get(ctx, o)
	if apierrors.IsNotFound(err) {
		h.later(func(ctx context.Context) error { return h.remove(ctx, o) })
		o = o.DeepCopy()
		if err := h.world.Client.Create(ctx, o, editor); err != nil {
			return fmt.Errorf("making %s: %w", named(o), err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", named(o), err)
	}
	h.later(func(ctx context.Context) error { return h.putBack(ctx, old) })
	data, err := json.Marshal(o.Object)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", named(o), err)
	}
	if err := h.world.Client.Patch(ctx, old.DeepCopy(), client.RawPatch(types.MergePatchType, data), editor); err != nil {
		return fmt.Errorf("changing %s: %w", named(o), err)
	}
	return nil
}

func (h *hand) patch(ctx context.Context, p *Patch) error {
	target := object(p.Reference)
	old, err := h.get(ctx, target)
	if p.IfThere && apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", named(target), err)
	}
	data, err := json.Marshal(p.Patch)
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	kind := map[string]types.PatchType{"": types.MergePatchType, "merge": types.MergePatchType, "json": types.JSONPatchType, "strategic": types.StrategicMergePatchType}[p.Type]
	patch := client.RawPatch(kind, data)
	if p.Subresource != "" {
		err = h.world.Client.SubResource(p.Subresource).Patch(ctx, old.DeepCopy(), patch, editor)
	} else {
		h.later(func(ctx context.Context) error { return h.putBack(ctx, old) })
		err = h.world.Client.Patch(ctx, old.DeepCopy(), patch, editor)
	}
	if err != nil {
		return fmt.Errorf("changing %s: %w", named(target), err)
	}
	return nil
}

func (h *hand) delete(ctx context.Context, r *Reference) error {
	if r.Name != "" {
		target := object(*r)
		old, err := h.get(ctx, target)
		if err != nil {
			return fmt.Errorf("reading %s: %w", named(target), err)
		}
		h.later(func(ctx context.Context) error { return h.putBack(ctx, old) })
		if err := h.world.Client.Delete(ctx, target); err != nil {
			return fmt.Errorf("deleting %s: %w", named(target), err)
		}
		return nil
	}
	list, err := h.list(ctx, *r)
	if err != nil {
		return err
	}
	for i := range list.Items {
		if err := h.world.Client.Delete(ctx, &list.Items[i]); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting %s: %w", named(&list.Items[i]), err)
		}
	}
	return nil
}

// putBack gives an object back what it was.
func (h *hand) putBack(ctx context.Context, old *unstructured.Unstructured) error {
	if owner := old.GetOwnerReferences(); len(owner) > 0 && old.GetKind() != "Node" {
		return nil // its owner makes it again
	}
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		now, err := h.get(ctx, old)
		back := old.DeepCopy()
		for _, field := range []string{"uid", "creationTimestamp", "generation", "managedFields", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds"} {
			unstructured.RemoveNestedField(back.Object, "metadata", field)
		}
		unstructured.RemoveNestedField(back.Object, "status")
		switch {
		case apierrors.IsNotFound(err):
			return h.world.Client.Create(ctx, back, editor) == nil, nil
		case err != nil, now.GetDeletionTimestamp() != nil:
			return false, nil //nolint:nilerr // an API server that cannot answer yet is asked again
		default:
			back.SetResourceVersion(now.GetResourceVersion())
			back.SetUID(now.GetUID())
			return h.world.Client.Update(ctx, back, editor) == nil, nil
		}
	})
	if err != nil {
		return fmt.Errorf("putting back %s: %w", named(old), err)
	}
	return nil
}

// remove deletes an object and waits until it is gone.
func (h *hand) remove(ctx context.Context, o *unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, stepAtMost)
	defer cancel()
	if err := h.world.Client.Delete(ctx, o.DeepCopy(), client.PropagationPolicy("Background")); client.IgnoreNotFound(err) != nil && !meta.IsNoMatchError(err) {
		return fmt.Errorf("deleting %s: %w", named(o), err)
	}
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, stepAtMost, true, func(ctx context.Context) (bool, error) {
		_, err := h.get(ctx, o)
		return apierrors.IsNotFound(err) || meta.IsNoMatchError(err), nil
	})
	if err != nil {
		return fmt.Errorf("waiting until %s is gone: %w", named(o), err)
	}
	return nil
}

func (h *hand) restart(ctx context.Context, r *Restart) error {
	if err := h.world.StopComponent(r.Component); err != nil {
		return err
	}
	h.later(func(ctx context.Context) error {
		if err := h.world.StopComponent(r.Component); err != nil {
			return err
		}
		return h.world.StartComponent(ctx, r.Component)
	})
	return h.world.StartComponent(ctx, r.Component, r.Flags...)
}

func (h *hand) nodeFault(ctx context.Context, f *NodeFault) error {
	node := h.world.Nodes[f.Name]
	if node == nil {
		return fmt.Errorf("there is no node %s", f.Name)
	}
	h.later(func(ctx context.Context) error { return node.SetFault(ctx, controlplane.Fault(f.Fault), false) })
	return node.SetFault(ctx, controlplane.Fault(f.Fault), true)
}

func (h *hand) program(p *Program) error {
	undo := h.world.SetProgram(controlplane.Program{
		Namespace: p.Namespace, Labels: p.Labels, Container: p.Container, Log: p.Log, Exits: p.Exits,
		After: p.After.Duration, Reason: p.Reason, NotReady: p.NotReady,
	})
	h.later(func(ctx context.Context) error {
		undo()
		return h.delete(ctx, &Reference{APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Labels: p.Labels})
	})
	return nil
}

// drain cordons a node and asks for the eviction of its pods, as kubectl drain does; what may not be
// evicted stays.
func (h *hand) drain(ctx context.Context, node string) error {
	err := h.patch(ctx, &Patch{Reference: Reference{APIVersion: "v1", Kind: "Node", Name: node}, Patch: map[string]any{"spec": map[string]any{"unschedulable": true}}})
	if err != nil {
		return err
	}
	// kubectl asks every five seconds; a budget that allows the next one after a while has done so by then.
	err = wait.ExponentialBackoffWithContext(ctx, wait.Backoff{Duration: drainEvery, Factor: 1, Steps: drainTries}, func(ctx context.Context) (bool, error) {
		refused, err := h.evict(ctx, node)
		return refused == 0, err
	})
	if wait.Interrupted(err) {
		return nil // what is left may not be evicted
	}
	return err
}

// evict asks for the eviction of every pod of a node, and counts those that are refused.
func (h *hand) evict(ctx context.Context, node string) (refused int, err error) {
	pods, err := h.list(ctx, Reference{APIVersion: "v1", Kind: "Pod"})
	if err != nil {
		return 0, err
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		on, _, err := unstructured.NestedString(p.Object, "spec", "nodeName")
		if err != nil || on != node || p.GetDeletionTimestamp() != nil {
			continue
		}
		eviction := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "policy/v1", "kind": "Eviction"}}
		err = h.world.Client.SubResource("eviction").Create(ctx, p, eviction)
		switch {
		case apierrors.IsTooManyRequests(err):
			refused++
		case client.IgnoreNotFound(err) != nil:
			return 0, fmt.Errorf("evicting %s: %w", named(p), err)
		}
	}
	return refused, nil
}

// fill makes copies of an object until one is refused.
func (h *hand) fill(ctx context.Context, f *Fill) error {
	for i := range f.Count {
		o := (&unstructured.Unstructured{Object: f.Object}).DeepCopy()
		o.SetName(fmt.Sprintf("%s-%03d", o.GetName(), i))
		if f.Bytes > 0 {
			o.Object["data"] = map[string]any{"blob": strings.Repeat(fmt.Sprintf("%08d", i), f.Bytes/8)}
		}
		if err := h.world.Client.Create(ctx, o, editor); err != nil {
			return nil //nolint:nilerr // that is what it is filled for
		}
	}
	return nil
}

// flood lists pods as a user until it is undone.
func (h *hand) flood(ctx context.Context, f *Flood) error {
	cfg := rest.CopyConfig(h.world.Config)
	cfg.Impersonate.UserName, cfg.QPS = f.User, -1
	cfg.UserAgent = "scanner/1.0"
	c, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{}, f.AtOnce)
	for range f.AtOnce {
		go func() {
			defer func() { ended <- struct{}{} }()
			for ctx.Err() == nil {
				if resp, err := c.Get(cfg.Host + "/api/v1/pods"); err == nil {
					_ = resp.Body.Close()
				}
			}
		}()
	}
	h.later(func(context.Context) error {
		cancel()
		for range f.AtOnce {
			<-ended
		}
		return nil
	})
	return nil
}
