package cli_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/maek-dev/maek/lab/internal/cli"
)

// None of these get as far as the host: what is wrong is seen before anything is looked at.
func TestWrongUsageIsToldInASentence(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"two control planes":           {[]string{"up", "--control-planes", "2"}, "a lab has 1 or 3 control planes, not 2: etcd bears no failure with 2"},
		"less than no workers":         {[]string{"up", "--workers=-1"}, "a lab has 0 to 50 workers, not -1"},
		"a store that flannel has not": {[]string{"up", "--flannel-store", "consul"}, `flannel keeps its subnets in "kubernetes" or "etcd", not in "consul"`},
		"a machine and no command":     {[]string{"exec", "w1"}, "requires at least 2 arg(s)"},
		"no machine to cut":            {[]string{"cut"}, "accepts 1 arg(s)"},
		"a command that is not there":  {[]string{"reboot"}, `unknown command "reboot"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			root := cli.New(cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out}, func() time.Time { return time.Time{} })
			root.SetArgs(tc.args)
			err := root.ExecuteContext(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one with %q", err, tc.want)
			}
			if out.Len() > 0 {
				t.Errorf("printed %q, want nothing beside the error", out.String())
			}
		})
	}
}
