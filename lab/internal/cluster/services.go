package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/lab/internal/cgroup"
	"github.com/maek-dev/maek/lab/internal/image"
	"github.com/maek-dev/maek/lab/internal/machine"
	"github.com/maek-dev/maek/lab/internal/network"
	"github.com/maek-dev/maek/lab/internal/registry"
	"github.com/maek-dev/maek/lab/internal/state"
	"github.com/maek-dev/maek/lab/internal/switchd"
)

const (
	// servicesGroup is the control group of what runs beside the machines.
	servicesGroup = "lab-services"
	// preferredPort is where the API is on the host's loopback address, if nothing else listens there.
	preferredPort = 16443
	// serviceTimeout is how long a service may take to start. The switch loads the images of its registries.
	serviceTimeout = 3 * time.Minute
	// dnsPort and httpPort are the standard ones.
	dnsPort, httpPort = 53, 80
)

// registryCredentials open the private registry.
func registryCredentials() registry.Credentials {
	return registry.Credentials{User: "shop", Password: "open-sesame"}
}

// startServices starts what runs beside the machines: the switch's services and the host's way in.
func (l *Lab) startServices(ctx context.Context, images []image.Archive) error {
	if err := network.CreateSwitch(ctx, l.Journal); err != nil {
		return err
	}
	groups := l.Layout.Paths(servicesGroup)
	for _, path := range groups {
		if err := l.Journal.Record(state.Resource{Kind: state.KindCgroup, Name: path}); err != nil {
			return err
		}
		if err := cgroup.Create(path); err != nil {
			return err
		}
	}
	if err := l.startSwitch(ctx, groups, images); err != nil {
		return fmt.Errorf("starting the services of the switch: %w", err)
	}
	if err := l.startForwarder(ctx, groups); err != nil {
		return fmt.Errorf("starting the host's way into the lab: %w", err)
	}
	return nil
}

func (l *Lab) startSwitch(ctx context.Context, groups []string, images []image.Archive) error {
	program, err := l.Programs.Path("switchd")
	if err != nil {
		return err
	}
	content, err := json.MarshalIndent(l.switchConfig(images), "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the configuration: %w", err)
	}
	config := l.Directory.Path("switchd.json")
	if err := os.WriteFile(config, content, 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return l.startService(ctx, groups, "switchd", []string{
		"nsenter", "--net=" + network.NamespacePath(network.SwitchNamespace), "--", program, "-config", config, "-ready-fd", "3",
	})
}

func (l *Lab) switchConfig(images []image.Archive) switchd.Config {
	hosts := map[string]netip.Addr{"registry.lab": network.SwitchAddress()}
	for name, address := range l.Addresses() {
		hosts[name+".lab"] = address
	}
	config := switchd.Config{Address: network.SwitchAddress(), DNSPort: dnsPort, HTTPPort: httpPort, Hosts: hosts}
	if controlPlanes := l.ControlPlanes(); len(controlPlanes) > 1 {
		balanced := switchd.Balanced{Port: apiPort}
		for _, spec := range controlPlanes {
			balanced.Backends = append(balanced.Backends, netip.AddrPortFrom(spec.Address, apiPort))
		}
		config.Balanced = append(config.Balanced, balanced)
	}
	for reference, credentials := range map[string]registry.Credentials{
		image.OpenRegistry:    {},
		image.PrivateRegistry: registryCredentials(),
	} {
		config.Registries = append(config.Registries, switchd.Registry{
			Port:        netip.MustParseAddrPort("127.0.0.1:" + portOf(reference)).Port(),
			Directory:   l.Directory.Path("registry", portOf(reference)),
			Credentials: credentials,
			Images:      imagesOf(reference, images),
		})
	}
	return config
}

// imagesOf returns those images whose references name the registry.
func imagesOf(address string, images []image.Archive) []registry.Image {
	var served []registry.Image
	for _, i := range images {
		if strings.HasPrefix(i.Reference, address+"/") {
			served = append(served, registry.Image{Archive: i.Path, Reference: i.Reference, Repository: image.Repository(i.Reference)})
		}
	}
	return served
}

// portOf returns the port in HOST:PORT.
func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		panic(fmt.Sprintf("%q is a constant of this program and no HOST:PORT: %v", address, err))
	}
	return port
}

func (l *Lab) startForwarder(ctx context.Context, groups []string) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	l.Port, err = freePort(ctx)
	if err != nil {
		return err
	}
	return l.startService(ctx, groups, "forwarder", []string{
		program, "forward",
		"--listen", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Port)), "--namespace", network.SwitchNamespace,
		"--target", l.Endpoint().String(), "--ready-fd", "3",
	})
}

// freePort returns the preferred port or, where it is taken, any other.
func freePort(ctx context.Context) (int, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(preferredPort)))
	if err != nil {
		listener, err = listen.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	port := netip.MustParseAddrPort(listener.Addr().String()).Port()
	return int(port), listener.Close()
}

// startService starts a program that says it is ready by writing to file descriptor 3.
func (l *Lab) startService(ctx context.Context, groups []string, name string, args []string) error {
	path := l.Directory.Path(name + ".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the service has it open itself
	ready, writeEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = ready.Close() }() // nothing was written
	err = machine.StartInGroups(groups, args, log, writeEnd)
	_ = writeEnd.Close() // so that reading ends when the service does
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, serviceTimeout, fmt.Errorf("not ready after %s", serviceTimeout))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ready.Close() })
	defer stop()
	if said, err := io.ReadAll(ready); err != nil || len(said) == 0 {
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%s: %w; see %s", name, cause, path)
		}
		return fmt.Errorf("%s ended; the end of its log:\n%s", name, tailOfFile(path))
	}
	return nil
}
