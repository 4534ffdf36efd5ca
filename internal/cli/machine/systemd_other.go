//go:build !linux

package machine

import (
	"context"
	"errors"
)

func connect(context.Context, string) (bus, error) {
	return nil, errors.New("there is no systemd here")
}
