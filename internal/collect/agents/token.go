package agents

import (
	"fmt"
	"os"
	"strings"
)

// TokenFile is where the operator's pod finds the token that it shows to agents. The kubelet renews it in
// place.
const TokenFile = "/var/run/secrets/maek.dev/agents/token" //nolint:gosec // the name of a file

// longestToken is more than any token that an API server gives out, in bytes.
const longestToken = 16 << 10

// TokenFrom gives what a file holds at that moment: a token in a projected volume is renewed in place.
func TokenFrom(file string) func() (string, error) {
	return func() (string, error) {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("reading the token for agents: %w", err)
		}
		token := strings.TrimSpace(string(data))
		if token == "" || len(token) > longestToken {
			return "", fmt.Errorf("reading the token for agents: %s holds %d bytes, and no token", file, len(data))
		}
		return token, nil
	}
}
