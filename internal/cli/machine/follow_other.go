//go:build !linux

package machine

import (
	"context"

	"github.com/maek-dev/maek/internal/cli/invocation"
)

// follow refuses as lookHere does.
func (o *Options) follow(context.Context, *invocation.Invocation, []string) error {
	_, err := lookHere(o.Root)
	return err
}
