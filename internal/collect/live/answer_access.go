package live

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/internal/snapshot"
)

// reviewsPath is where reviews are created; creating one asks, and nothing is stored.
const reviewsPath = "/apis/authorization.k8s.io/v1/"

// accessReview asks the API server's authorizers.
func (c *Client) accessReview(ctx context.Context, q snapshot.Question) snapshot.Answer {
	resource, subresource, _ := strings.Cut(q.Resource, "/")
	attributes := &authorizationv1.ResourceAttributes{
		Namespace: q.Namespace, Verb: q.Verb, Group: q.Group, Resource: resource, Subresource: subresource, Name: q.Name,
	}
	version := authorizationv1.SchemeGroupVersion.String()
	var review any
	path := reviewsPath + "selfsubjectaccessreviews"
	if q.User == "" {
		review = &authorizationv1.SelfSubjectAccessReview{
			TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: "SelfSubjectAccessReview"},
			Spec:     authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes},
		}
	} else {
		path = reviewsPath + "subjectaccessreviews"
		review = &authorizationv1.SubjectAccessReview{
			TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: "SubjectAccessReview"},
			Spec:     authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: attributes, User: q.User, Groups: groupsOf(q.User)},
		}
	}
	body, err := c.post(ctx, path, nil, review)
	if err != nil {
		return failedAnswer(err)
	}
	var answer struct {
		Status authorizationv1.SubjectAccessReviewStatus `json:"status"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return snapshot.Answer{Outcome: snapshot.Errored, Error: "reading the review: " + err.Error()}
	}
	switch s := answer.Status; {
	case s.Allowed:
		return snapshot.Answer{Outcome: snapshot.Answered, Text: "allowed"}
	case s.EvaluationError != "" && !s.Denied:
		// An authorizer that failed may have known more.
		return snapshot.Answer{Outcome: snapshot.Errored, Error: oneLine(s.EvaluationError)}
	default:
		return snapshot.Answer{Outcome: snapshot.Answered, Text: "denied", Error: oneLine(s.Reason)}
	}
}

// groupsOf are the groups that a user is in by its name: those of ServiceAccounts
// (k8s.io/apiserver/pkg/authentication/serviceaccount, MakeGroupNames) and of kubelets
// (https://kubernetes.io/docs/reference/access-authn-authz/node/). Other groups are not known here.
func groupsOf(user string) []string {
	groups := []string{"system:authenticated"}
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		namespace, _, _ := strings.Cut(account, ":")
		return append(groups, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
	}
	if strings.HasPrefix(user, "system:node:") {
		return append(groups, "system:nodes")
	}
	return groups
}

// post sends an object in JSON and returns the answer's body.
func (c *Client) post(ctx context.Context, path string, params map[string]string, obj any) ([]byte, error) {
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("writing a %T: %w", obj, err)
	}
	req := c.rest.Post().AbsPath(path).MaxRetries(0).Body(data).
		SetHeader("Content-Type", runtime.ContentTypeJSON).SetHeader("Accept", runtime.ContentTypeJSON)
	for name, value := range params {
		req.Param(name, value)
	}
	result := req.Do(ctx)
	// Error, unlike Raw, reads the Status in the body of a refusal.
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}
