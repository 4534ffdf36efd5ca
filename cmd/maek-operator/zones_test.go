package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestKnowsTimeZones holds that the program brings the time zone database: the image that it is shipped in has none, and
// a machine that tests run on has one, so that a look-up here would say nothing.
func TestKnowsTimeZones(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("listing what the program is made of: %v", err)
	}
	if !slices.Contains(strings.Fields(string(out)), "time/tzdata") {
		t.Error("the program is made without time/tzdata")
	}
}
