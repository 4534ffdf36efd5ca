//go:build !unix

package checker

import "context"

// pause waits for the end.
func pause(ctx context.Context) { <-ctx.Done() }
