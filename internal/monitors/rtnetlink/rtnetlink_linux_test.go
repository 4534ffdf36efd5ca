package rtnetlink

import (
	"testing"

	"github.com/vishvananda/netlink"
)

func TestListsAgainWhatChangedMeanwhile(t *testing.T) {
	calls := 0
	got, err := Whole(func() ([]int, error) {
		calls++
		if calls < attempts {
			return nil, netlink.ErrDumpInterrupted
		}
		return []int{calls}, nil
	})
	if err != nil || len(got) != 1 {
		t.Errorf("got %v and %v after %d attempts", got, err, calls)
	}
}
