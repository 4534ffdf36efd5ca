package agents

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestATokenIsReadAnew holds that a token which was renewed in place is shown, and that no token is no empty one.
func TestATokenIsReadAnew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	token := TokenFrom(file)
	if _, err := token(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	for _, tc := range []struct{ text, want string }{
		{"one\n", "one"}, {"two", "two"}, {" \n", ""}, {strings.Repeat("x", longestToken+1), ""},
	} {
		if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := token()
		if got != tc.want || (err != nil) != (tc.want == "") {
			t.Errorf("%.20q is read as %q, %v", tc.text, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "xxx") {
			t.Errorf("the error tells what is in the file: %v", err)
		}
	}
}
