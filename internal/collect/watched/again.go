package watched

import (
	"context"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// meetEvery is how often the API server itself is looked at while all is well, and meetSoon once it is
	// not: two small requests each time.
	meetEvery = 10 * time.Second
	meetSoon  = 2 * time.Second
	// customEvery is how often custom resources are listed; customSettle is how long definitions have to be
	// left alone before that is done because of them: an operator installs a dozen at once.
	customEvery  = 2 * time.Minute
	customSettle = 3 * time.Second
	// customSoon is how soon they are listed again where some could not be read, as happens while the API
	// server makes ready to serve a kind that was just defined.
	customSoon = 15 * time.Second
)

// meetAgain looks at the API server again and again. That it fails is believed when it fails twice.
func (w *Watcher) meetAgain(ctx context.Context) {
	once := false
	for {
		api := w.client.Meet(ctx, w.slices())
		if ctx.Err() != nil {
			return
		}
		wait := meetEvery
		if api.Failure != nil {
			wait = meetSoon
		}
		if api.Failure == nil || once {
			w.know(api)
		}
		once = api.Failure != nil
		if !pause(ctx, wait, w.doubted) || !pause(ctx, time.Second/2, nil) {
			return
		}
	}
}

// know takes in what was seen of the API server.
func (w *Watcher) know(api snapshot.API) {
	w.mu.Lock()
	news, failed := !w.met || !alike(w.api, api), w.api.Failure != nil
	w.api, w.met = api, true
	w.mu.Unlock()
	if !news {
		return
	}
	w.tell()
	switch f := api.Failure; {
	case f != nil:
		w.options.Log.Warn("the API server cannot be used", "layer", string(f.Layer), "reason", string(f.Reason), "message", f.Message)
	case failed:
		w.options.Log.Info("the API server can be used again")
	}
}

// alike tells whether two looks at an API server mean the same.
func alike(a, b snapshot.API) bool {
	if (a.Failure == nil) != (b.Failure == nil) || a.Version != b.Version {
		return false
	}
	if a.Failure != nil && (a.Failure.Layer != b.Failure.Layer || a.Failure.Reason != b.Failure.Reason) {
		return false
	}
	return slices.EqualFunc(a.Checks, b.Checks, func(x, y snapshot.HealthCheck) bool { return x.Name == y.Name && x.OK == y.OK })
}

// readCustomAgain lists custom resources again and again, and when their definitions changed.
func (w *Watcher) readCustomAgain(ctx context.Context) {
	for {
		if i := slices.IndexFunc(w.kinds, func(k *kind) bool { return k.Kind == definitionKind() }); i >= 0 && !w.kinds[i].settled() {
			if !pause(ctx, customSettle, w.defined) {
				return
			}
			continue
		}
		next := customSoon
		if w.readCustom(ctx) {
			next = customEvery
		}
		if !pause(ctx, next, w.defined) || !pause(ctx, customSettle, nil) {
			return
		}
	}
}

// readCustom lists custom resources once, and tells whether no kind failed.
func (w *Watcher) readCustom(ctx context.Context) bool {
	w.mu.Lock()
	down := !followed(w.api)
	w.mu.Unlock()
	if down {
		return false
	}
	objects, coverage := w.client.Custom(ctx, objectsOf[*apiextensionsv1.CustomResourceDefinition](w))
	if ctx.Err() != nil {
		return false
	}
	w.mu.Lock()
	w.custom, w.coverage = objects, coverage
	w.mu.Unlock()
	w.tell()
	for _, c := range coverage {
		if c.State == snapshot.Failed {
			return false
		}
	}
	return true
}
