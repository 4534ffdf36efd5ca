package units

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"github.com/maek-dev/maek/internal/monitor"
)

// manager is what is asked of systemd.
type manager interface {
	// ByName returns the state of units; of one that is not there LoadState says so.
	ByName(ctx context.Context, names []string) ([]systemd.UnitStatus, error)
	// Failed returns all units that have failed.
	Failed(ctx context.Context) ([]systemd.UnitStatus, error)
	// Changed is when a unit last changed its state, in microseconds since 1970.
	Changed(ctx context.Context, unit string) (uint64, error)
	// Properties of a unit, all of them.
	Properties(ctx context.Context, unit string) (map[string]any, error)
	// Close ends the connection.
	Close()
}

// sockets are where systemd is asked: the system bus, and systemd's own socket, which answers root
// where no bus runs, and speaks without a bus's greeting.
var sockets = []struct {
	path string
	bus  bool
}{{"/run/dbus/system_bus_socket", true}, {"/run/systemd/private", false}}

// open dials the first socket that answers.
func open(host monitor.Host) (*dbus.Conn, error) {
	var errs []error
	for _, s := range sockets {
		path, err := host.Path(s.path)
		if err != nil {
			return nil, err
		}
		conn, err := dial(path, s.bus)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.path, err))
	}
	return nil, fmt.Errorf("%w: %w", errNoBus, errors.Join(errs...))
}

func dial(path string, bus bool) (*dbus.Conn, error) {
	conn, err := dbus.Dial("unix:path=" + dbus.EscapeBusAddressValue(path))
	if err != nil {
		return nil, err
	}
	// A bus that hangs takes a connection and says nothing.
	late := time.AfterFunc(greetingTime, func() { _ = conn.Close() })
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))})
	if err == nil && bus {
		err = conn.Hello()
	}
	if !late.Stop() {
		return nil, fmt.Errorf("it takes connections and has not answered in %s", greetingTime)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// greetingTime is how long either socket may take to greet.
const greetingTime = 1500 * time.Millisecond

// connection is a manager over D-Bus.
type connection struct{ *systemd.Conn }

func connect(host monitor.Host) (manager, error) {
	conn, err := systemd.NewConnection(func() (*dbus.Conn, error) { return open(host) })
	if err != nil {
		return nil, err
	}
	return connection{conn}, nil
}

// ByName implements manager.
func (c connection) ByName(ctx context.Context, names []string) ([]systemd.UnitStatus, error) {
	return c.ListUnitsByNamesContext(ctx, names)
}

// Failed implements manager.
func (c connection) Failed(ctx context.Context) ([]systemd.UnitStatus, error) {
	return c.ListUnitsFilteredContext(ctx, []string{"failed"})
}

// Changed implements manager.
func (c connection) Changed(ctx context.Context, unit string) (uint64, error) {
	p, err := c.GetUnitPropertyContext(ctx, unit, "StateChangeTimestamp")
	if err != nil {
		return 0, err
	}
	at, _ := p.Value.Value().(uint64)
	return at, nil
}

// Properties implements manager.
func (c connection) Properties(ctx context.Context, unit string) (map[string]any, error) {
	return c.GetAllPropertiesContext(ctx, unit)
}

// watch calls changed whenever one of the units changes, until the context ends or the bus does.
func watch(ctx context.Context, host monitor.Host, changed func()) error {
	conn, err := open(host)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	signals := make(chan *dbus.Signal, 64)
	conn.Signal(signals)
	object := conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	if err := object.CallWithContext(ctx, "org.freedesktop.systemd1.Manager.Subscribe", 0).Err; err != nil {
		return fmt.Errorf("subscribing to changes of units: %w", err)
	}
	for _, name := range names {
		// The bus leaves out all other units, so that a machine that starts many costs nothing here.
		path := dbus.ObjectPath("/org/freedesktop/systemd1/unit/" + systemd.PathBusEscape(name))
		// systemd's own socket has no bus that would filter, and sends all.
		_ = conn.AddMatchSignalContext(ctx, dbus.WithMatchObjectPath(path), dbus.WithMatchInterface("org.freedesktop.DBus.Properties"))
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-signals:
			if !open {
				return errors.New("waiting for changes of units: the bus ended the connection")
			}
			changed()
		}
	}
}
