package apiserver

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	testingclock "k8s.io/utils/clock/testing"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// TestContact says since when an API server is silent, however it is.
func TestContact(t *testing.T) {
	clock := testingclock.NewFakePassiveClock(noon)
	answer := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer server.Close()
	c, err := New(&rest.Config{Host: server.URL}, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Contact(); !got.Answered.IsZero() || !got.Failing.IsZero() {
		t.Errorf("before it is asked: %+v", got)
	}
	ask := func(ctx context.Context) {
		if err := c.PatchNode(ctx, "w1", types.MergePatchType, map[string]string{}); err == nil {
			t.Error("a patch was taken")
		}
	}
	ask(t.Context())
	if got := c.Contact(); !got.Answered.Equal(noon) || !got.Failing.IsZero() {
		t.Errorf("after it refused something, which is an answer: %+v", got)
	}
	// Somebody who went away says nothing about the server.
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	ask(gone)
	if got := c.Contact(); !got.Failing.IsZero() {
		t.Errorf("after a request was given up: %+v", got)
	}
	clock.SetTime(noon.Add(time.Minute))
	answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	ask(t.Context())
	if got := c.Contact(); !got.Failing.Equal(noon.Add(time.Minute)) || !strings.Contains(got.Error.Error(), "503") {
		t.Errorf("after it answered 503: %+v", got)
	}
	clock.SetTime(noon.Add(time.Hour))
	server.Close()
	ask(t.Context())
	if got := c.Contact(); !got.Failing.Equal(noon.Add(time.Minute)) || !got.Answered.Equal(noon) || got.Error == nil {
		t.Errorf("after it was stopped: %+v", got)
	}
	c.Heard(nil)
	if got := c.Contact(); !got.Failing.IsZero() || got.Error != nil {
		t.Errorf("after a watch delivered: %+v", got)
	}
	if n := c.Requests()["PATCH"]; n < 3 {
		t.Errorf("%d PATCH requests counted", n)
	}
}

func TestErrorsSayWhatWasTried(t *testing.T) {
	c, err := New(&rest.Config{Host: "http://127.0.0.1:1"}, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	_, tokenErr := c.ReviewToken(t.Context(), "secret-token", nil)
	_, accessErr := c.ReviewAccess(t.Context(), authorizationv1.SubjectAccessReviewSpec{User: "jane"})
	for want, err := range map[string]error{
		"reviewing a token":        tokenErr,
		"reviewing access of jane": accessErr,
		"patching Node w1":         c.PatchNode(t.Context(), "w1", types.MergePatchType, 1),
	} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret-token") {
			t.Errorf("error %v, want one that says %q and no secret", err, want)
		}
	}
	if err := c.PatchNode(t.Context(), "w1", types.MergePatchType, errors.New); err == nil {
		t.Error("what has no JSON form was sent")
	}
}
