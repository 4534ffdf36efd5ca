package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// systemBus is systemd over the system's D-Bus.
type systemBus struct{ conn *systemd.Conn }

// connect asks the bus of the machine below a root.
func connect(ctx context.Context, root string) (bus, error) {
	path := filepath.Join(root, "run/dbus/system_bus_socket")
	conn, err := systemd.NewConnection(func() (*dbus.Conn, error) {
		conn, err := dbus.Dial("unix:path="+dbus.EscapeBusAddressValue(path), dbus.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		if err := errors.Join(conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))})); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		if err := conn.Hello(); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	})
	if err != nil {
		return nil, err
	}
	return systemBus{conn}, nil
}

// State implements bus.
func (b systemBus) State(ctx context.Context, unit string) (unitState, error) {
	units, err := b.conn.ListUnitsByNamesContext(ctx, []string{unit})
	if err != nil {
		return unitState{}, err
	}
	if len(units) != 1 {
		return unitState{}, fmt.Errorf("it tells of %d units", len(units))
	}
	s := unitState{Load: units[0].LoadState, Active: units[0].ActiveState, Sub: units[0].SubState}
	if p, err := b.conn.GetUnitTypePropertyContext(ctx, unit, "Service", "Result"); err == nil {
		s.Result, _ = p.Value.Value().(string)
	}
	return s, nil
}

// Restart implements bus.
func (b systemBus) Restart(ctx context.Context, unit string) (string, error) {
	done := make(chan string, 1)
	if _, err := b.conn.RestartUnitContext(ctx, unit, "replace", done); err != nil {
		return "", err
	}
	select {
	case result := <-done:
		return result, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Close implements bus.
func (b systemBus) Close() { b.conn.Close() }
