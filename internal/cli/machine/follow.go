package machine

import (
	"context"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
)

func (o *Options) follow(context.Context, *invocation.Invocation, []string) error {
	return exit.Misused("--follow")
}
