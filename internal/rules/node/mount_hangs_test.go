package node

import (
	"testing"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

func TestBehindMount(t *testing.T) {
	b := snapshot.NewBuilder(time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC), snapshot.Source{Name: "test"})
	b.AddMachine(snapshot.MachineReport{Node: "w1", Evidence: []snapshot.MachineEvidence{
		{Key: snapshot.KeyOf("filesystem", "/data", "device"), Value: "/dev/mapper/mpatha-part1"},
		{Key: snapshot.KeyOf("filesystem", "/srv", "device"), Value: "/dev/sdc1"},
	}})
	s := b.Build()
	multipath := finding.Finding{Subject: finding.Subject{Kind: "MultipathDevice", Name: "mpatha", Machine: "w1"}}
	session := finding.Finding{
		Subject:  finding.Subject{Kind: "IscsiSession", Name: "iqn.a 10.0.0.1:3260", Machine: "w1"},
		Evidence: []finding.Evidence{{Path: "iscsi session session1 state"}, {Path: "iscsi session session1 device sdc"}},
	}
	cases := map[string]struct {
		point, machine string
		cause          finding.Finding
		want           bool
	}{
		"a partition of the multipath device":        {"/data", "w1", multipath, true},
		"a disk that is no multipath device":         {"/srv", "w1", multipath, false},
		"a partition of the session's disk":          {"/srv", "w1", session, true},
		"a disk that the session has not brought":    {"/data", "w1", session, false},
		"a machine of which nothing is known at all": {"/data", "w2", multipath, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			effect := finding.Finding{Subject: finding.Subject{Kind: "Path", Name: tc.point, Machine: tc.machine}}
			if got := behindMount(s, effect, tc.cause); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}
