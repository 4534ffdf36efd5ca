package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// eventTime bounds leaving an Event.
const eventTime = 5 * time.Second

// errNoAPIServer is why there is no Event where nobody takes it.
var errNoAPIServer = errors.New("the API server does not answer, or no kubeconfig here leads to it")

// leaveEvent tells the cluster what was done, on the Node.
func (r *repairer) leaveEvent(ctx context.Context, text string, well bool) error {
	if r.cluster == nil {
		return errNoAPIServer
	}
	ctx, cancel := context.WithTimeout(ctx, eventTime)
	defer cancel()
	kind := corev1.EventTypeNormal
	if !well {
		kind = corev1.EventTypeWarning
	}
	now := metav1.NewTime(r.inv.Now())
	data, err := json.Marshal(corev1.Event{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		// Events about objects without a namespace are in default
		// (kubernetes/pkg/apis/core/validation/events.go).
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, GenerateName: r.node + ".repair-"},
		// The kubelet too gives the node's name for its UID (kubernetes/pkg/kubelet/kubelet.go, nodeRef).
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: r.node, UID: types.UID(r.node)},
		Type:           kind, Reason: "UnitRestarted", Message: text,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: "kubectl-maek", Host: r.node},
	})
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(r.cluster)
	if err != nil {
		return err
	}
	base, _, err := rest.DefaultServerUrlFor(r.cluster)
	if err != nil {
		return err
	}
	at := base.JoinPath("api/v1/namespaces", metav1.NamespaceDefault, "events")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return errors.New(plainly(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("the API server answers %s", resp.Status)
	}
	return nil
}
