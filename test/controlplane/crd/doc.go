// Package crd tests Maek's own kinds against a real API server: that it accepts the generated
// definitions, and that bad objects are refused with a sentence that says what to write instead.
//
// It needs kube-apiserver and etcd, named by TEST_ASSET_KUBE_APISERVER and TEST_ASSET_ETCD;
// `make test-controlplane` builds both and sets them. Without them the tests are skipped.
package crd
