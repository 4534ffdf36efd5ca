// Package crd tests Maek's own kinds against a real API server: that it accepts the generated
// definitions, and that bad objects are refused with a sentence that says what to write instead.
//
// The programs come from the lab's build cache: `make test-controlplane` builds what is missing and sets
// KUBEBUILDER_ASSETS to where they are.
package crd
