package storage

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
)

func TestFileSystem(t *testing.T) {
	tests := map[string]struct {
		fs         fileSystem
		wantUsed   int
		wantInodes int
		wantWords  string
	}{
		"bytes and inodes": {
			fs:       fileSystem{AvailableBytes: new(uint64(1 << 30)), CapacityBytes: new(uint64(20 << 30)), InodesFree: new(uint64(0)), Inodes: new(uint64(1000))},
			wantUsed: 95, wantInodes: 100, wantWords: "95 % of 20Gi used, 1024Mi left; 100 % of 1000 inodes used",
		},
		"a file system without a fixed number of inodes": {
			fs:       fileSystem{AvailableBytes: new(uint64(0)), CapacityBytes: new(uint64(20 << 30)), InodesFree: new(uint64(0)), Inodes: new(uint64(0))},
			wantUsed: 100, wantWords: "100 % of 20Gi used, 0 bytes left",
		},
		"more available than there is": {
			fs:        fileSystem{AvailableBytes: new(uint64(30 << 30)), CapacityBytes: new(uint64(20 << 30))},
			wantWords: "0 % of 20Gi used, 30Gi left",
		},
		"nothing was measured": {},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			used, _ := tc.fs.used()
			inodes, _ := tc.fs.inodesUsed()
			if used != tc.wantUsed || inodes != tc.wantInodes {
				t.Errorf("used %d %% of bytes and %d %% of inodes, want %d and %d", used, inodes, tc.wantUsed, tc.wantInodes)
			}
			if got := tc.fs.words(); got != tc.wantWords {
				t.Errorf("words = %q, want %q", got, tc.wantWords)
			}
		})
	}
}

func TestLargerIsHalfAsMuchAgainInWholeGibibytes(t *testing.T) {
	for size, want := range map[string]string{"10Gi": "15Gi", "1Gi": "2Gi", "100Mi": "1Gi", "1.5Ti": "2304Gi"} {
		if got := larger(resource.MustParse(size)); got != want {
			t.Errorf("larger(%s) = %s, want %s", size, got, want)
		}
	}
}
