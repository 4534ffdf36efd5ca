package switchd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/maek-dev/maek/lab/internal/registry"
)

// Config says what the switch serves.
type Config struct {
	// Address is the switch's own address, which all services listen on.
	Address netip.Addr `json:"address"`
	// DNSPort is the port of the name server, 53 in a lab. 0 means any free port.
	DNSPort uint16 `json:"dnsPort"`
	// HTTPPort is the port of the web server that stands for the world outside of
	// the cluster, 80 in a lab. 0 means any free port.
	HTTPPort uint16 `json:"httpPort"`
	// Hosts are the names that the name server knows, without a dot at the end.
	Hosts map[string]netip.Addr `json:"hosts"`
	// Balanced are the ports that are handed on to other machines.
	Balanced []Balanced `json:"balanced,omitempty"`
	// Registries are the image registries.
	Registries []Registry `json:"registries,omitempty"`
}

// Balanced is a port whose connections are spread over backends.
type Balanced struct {
	// Port is where clients connect to.
	Port uint16 `json:"port"`
	// Backends are where connections go.
	Backends []netip.AddrPort `json:"backends"`
}

// Registry is one image registry.
type Registry struct {
	// Port is where clients connect to.
	Port uint16 `json:"port"`
	// Directory keeps the blobs. It is made if it is not there.
	Directory string `json:"directory"`
	// Credentials are what clients must show. The zero value lets everybody in.
	Credentials registry.Credentials `json:"credentials,omitzero"`
	// Images are served from the start.
	Images []registry.Image `json:"images,omitempty"`
}

// ReadConfig reads a configuration from a JSON file.
func ReadConfig(path string) (Config, error) {
	file, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	var config Config
	decoder := json.NewDecoder(file)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return Config{}, fmt.Errorf("reading configuration %s: %w", path, err)
	}
	if !config.Address.IsValid() {
		return Config{}, fmt.Errorf("reading configuration %s: %w", path, errors.New("address is missing"))
	}
	return config, nil
}
