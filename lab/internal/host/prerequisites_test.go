package host

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMissingPackages(t *testing.T) {
	t.Parallel()
	all := func(string) bool { return true }
	tests := map[string]struct {
		hasProgram, hasFile func(string) bool
		want                []string
	}{
		"nothing is missing": {hasProgram: all, hasFile: all},
		"a package with two missing programs is named once": {
			hasProgram: func(p string) bool { return p != "nsenter" && p != "unshare" && p != "debootstrap" }, hasFile: all,
			want: []string{"debootstrap", "util-linux"},
		},
		"a compiler without a C library": {
			hasProgram: all, hasFile: func(string) bool { return false },
			want: []string{"libc6-dev"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, missing(tc.hasProgram, tc.hasFile)); diff != "" {
				t.Errorf("packages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMissingPackagesAreNamedWithTheCommandThatHelps(t *testing.T) {
	t.Parallel()
	err := &MissingError{Packages: []string{"debootstrap", "systemd-container"}}
	want := "the lab needs Debian packages that are not installed: run `apt-get install debootstrap systemd-container`, or `lab up --install`"
	if got := err.Error(); got != want {
		t.Errorf("error = %q, want %q", got, want)
	}
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	// Root in a sandbox that withholds CAP_SYS_RESOURCE, bit 24.
	const status = "Name:\tsh\nCapPrm:\t0000000000000000\nCapEff:\t000001fffeffffff\n"
	tests := map[string]struct {
		capability uint
		want       bool
	}{
		"one that is there":     {capSysAdmin, true},
		"one that was withheld": {capSysResource, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := hasCapability([]byte(status), tc.capability)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("hasCapability = %t, want %t", got, tc.want)
			}
		})
	}
	if _, err := hasCapability([]byte("Name:\tsh\n"), capSysAdmin); err == nil {
		t.Error("a status without capabilities is no error")
	}
}
