package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/lab/internal/command"
	"github.com/maek-dev/maek/lab/internal/state"
)

// namespaceDirectory is where `ip netns` looks for named namespaces (see ip-netns(8)).
const namespaceDirectory = "/run/netns"

// NamespacePath returns the file that holds the network namespace called name.
func NamespacePath(name string) string { return filepath.Join(namespaceDirectory, name) }

// CreateNamespace makes a named network namespace.
//
// `ip netns add` would do, but it also turns its directory into a mount that stays when the last namespace is gone.
func CreateNamespace(ctx context.Context, journal *state.Journal, name string) error {
	if err := journal.Record(state.Resource{Kind: state.KindNamespace, Name: name}); err != nil {
		return err
	}
	if err := os.MkdirAll(namespaceDirectory, 0o755); err != nil {
		return fmt.Errorf("making the network namespace %s: %w", name, err)
	}
	file, err := os.OpenFile(NamespacePath(name), os.O_CREATE|os.O_RDONLY|os.O_EXCL, 0o444)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the network namespace %s is there already; `lab down` removes what an earlier lab left", name)
	}
	if err != nil {
		return fmt.Errorf("making the network namespace %s: %w", name, err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("making the network namespace %s: %w", name, err)
	}
	if _, err := command.Output(ctx, "unshare", "--net="+NamespacePath(name), "true"); err != nil {
		return fmt.Errorf("making the network namespace %s: %w", name, err)
	}
	return nil
}

// DeleteNamespace removes a named network namespace; an absent one is no error. What is in it goes when its last process
// ends.
func DeleteNamespace(name string) error {
	path := NamespacePath(name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmounting the network namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the network namespace %s: %w", name, err)
	}
	_ = os.Remove(namespaceDirectory) // unless others have theirs in it
	return nil
}

// CreateSwitch makes the switch namespace with its bridge.
func CreateSwitch(ctx context.Context, journal *state.Journal) error {
	if err := CreateNamespace(ctx, journal, SwitchNamespace); err != nil {
		return err
	}
	return batch(ctx, SwitchNamespace, switchCommands())
}

// Connect makes a machine's namespace and joins it to the switch.
func Connect(ctx context.Context, journal *state.Journal, machine string, address netip.Addr) error {
	if err := CreateNamespace(ctx, journal, Namespace(machine)); err != nil {
		return err
	}
	if err := batch(ctx, SwitchNamespace, portCommands(machine, address)); err != nil {
		return err
	}
	return batch(ctx, Namespace(machine), cardCommands(address))
}

// Disconnect takes a machine's port and namespace away.
//
// The port would go with the namespace, but some time later, and a machine that boots meanwhile would find it taken.
func Disconnect(ctx context.Context, machine string) error {
	ports, err := PortsUp(ctx)
	if err != nil {
		return err
	}
	if _, there := ports[Port(machine)]; there {
		if err := batch(ctx, SwitchNamespace, []string{"link del " + Port(machine)}); err != nil {
			return err
		}
	}
	return DeleteNamespace(Namespace(machine))
}

// SetPort sets a machine's port on the switch up or down, as pulling the cable does.
func SetPort(ctx context.Context, machine string, up bool) error {
	direction := "down"
	if up {
		direction = "up"
	}
	return batch(ctx, SwitchNamespace, []string{"link set " + Port(machine) + " " + direction})
}

// PortsUp returns, for each port of the switch, whether it is set up.
func PortsUp(ctx context.Context) (map[string]bool, error) {
	out, err := command.Output(ctx, "ip", "-n", SwitchNamespace, "-j", "link", "show", "master", Bridge)
	if err != nil {
		return nil, fmt.Errorf("listing the ports of the switch: %w", err)
	}
	return parsePorts([]byte(out))
}

func parsePorts(list []byte) (map[string]bool, error) {
	var links []struct {
		Name  string   `json:"ifname"`
		Flags []string `json:"flags"`
	}
	if len(list) > 0 { // ip prints nothing at all for an empty list
		if err := json.Unmarshal(list, &links); err != nil {
			return nil, fmt.Errorf("reading the ports of the switch: %w", err)
		}
	}
	ports := make(map[string]bool, len(links))
	for _, link := range links {
		ports[link.Name] = false
		for _, flag := range link.Flags {
			if flag == "UP" {
				ports[link.Name] = true
			}
		}
	}
	return ports, nil
}

// switchCommands are run by ip in the switch namespace.
func switchCommands() []string {
	return []string{
		"link set lo up",
		"link add " + Bridge + " type bridge",
		fmt.Sprintf("addr add %s/%d dev %s", SwitchAddress(), prefixLength, Bridge),
		"link set " + Bridge + " up",
	}
}

// portCommands are run by ip in the switch namespace.
func portCommands(machine string, address netip.Addr) []string {
	port := Port(machine)
	return []string{
		fmt.Sprintf("link add %s type veth peer name %s address %s netns %s", port, Interface, hardwareAddress(address), Namespace(machine)),
		fmt.Sprintf("link set %s master %s", port, Bridge),
		fmt.Sprintf("link set %s up", port),
	}
}

// cardCommands are run by ip in the machine's namespace. The default route leads nowhere beyond the switch, but without
// one a packet to a Service's address is refused before kube-proxy's rules see it.
func cardCommands(address netip.Addr) []string {
	return []string{
		"link set lo up",
		fmt.Sprintf("addr add %s/%d dev %s", address, prefixLength, Interface),
		"link set " + Interface + " up",
		"route add default via " + SwitchAddress().String(),
	}
}

func batch(ctx context.Context, namespace string, commands []string) error {
	_, err := command.Run(ctx, command.Command{
		Args:  []string{"ip", "-n", namespace, "-batch", "-"},
		Stdin: strings.NewReader(strings.Join(commands, "\n") + "\n"),
	})
	if err != nil {
		return fmt.Errorf("setting up the network in %s: %w", namespace, err)
	}
	return nil
}
