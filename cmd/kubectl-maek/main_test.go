package main

import "testing"

func TestProgramIsNamedAsTheUserTypedIt(t *testing.T) {
	for arg, want := range map[string]string{
		"kubectl-maek":                "kubectl-maek",
		"./bin/kubectl-maek":          "./bin/kubectl-maek",
		"/usr/local/bin/kubectl-maek": "kubectl maek",
		"/tmp/something-else":         "/tmp/something-else",
	} {
		if got := program(arg); got != want {
			t.Errorf("program(%q) = %q, want %q", arg, got, want)
		}
	}
}
