// Package crd tests Maek's own kinds against a real API server: that it accepts the generated
// definitions, and that bad objects are refused with a sentence that says what to write instead.
//
// It needs kube-apiserver and etcd in the folder that KUBEBUILDER_ASSETS names;
// `make test-controlplane` builds both and sets it. Without it the tests are skipped.
package crd
