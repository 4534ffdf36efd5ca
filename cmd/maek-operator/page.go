package main

import (
	"fmt"

	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"

	"github.com/maek-dev/maek/internal/operator"
	"github.com/maek-dev/maek/internal/statuspage"
)

// newPage makes the status page of an operator's checks.
func newPage(op *operator.Operator, o operator.Options, compatibility bool) (*statuspage.Page, error) {
	tokens, err := authenticationclient.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("preparing to ask whose a token is: %w", err)
	}
	rights, err := authorizationclient.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("preparing to ask who may do what: %w", err)
	}
	return statuspage.New(statuspage.Options{
		Board: op, Standing: op.Standing, Reporter: op, Runner: op,
		Access:  statuspage.NewAccess(tokens.TokenReviews(), rights.SubjectAccessReviews(), o.Clock),
		Cluster: statuspage.NewCluster(op.Core()),
		Settings: func() statuspage.Settings {
			s := op.Settings()
			return statuspage.Settings{Compatibility: compatibility, Metadata: s.Metadata, Labels: s.Labels}
		},
		Metrics: op.Metrics(), Clock: o.Clock, Log: o.Log.With("part", "page"),
	}), nil
}
