package cluster

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/maek-dev/maek/lab/internal/node"
)

func TestEndpoint(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		controlPlanes int
		want          string
	}{
		"one control plane is reached directly":         {1, "10.99.0.11:6443"},
		"three are reached by way of the load balancer": {3, "10.99.0.1:6443"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := describe(t, Options{ControlPlanes: tc.controlPlanes}).Endpoint().String(); got != tc.want {
				t.Errorf("endpoint = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options Options
		wantErr bool
	}{
		"the default":             {Options{ControlPlanes: 1, Workers: 2, FlannelStore: node.StoreKubernetes}, false},
		"flannel's other store":   {Options{ControlPlanes: 3, FlannelStore: node.StoreEtcd}, false},
		"two control planes":      {Options{ControlPlanes: 2, FlannelStore: node.StoreKubernetes}, true},
		"a store that nobody has": {Options{ControlPlanes: 1, FlannelStore: "consul"}, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := tc.options.Validate(); (err != nil) != tc.wantErr {
				t.Errorf("Validate = %v, want an error: %t", err, tc.wantErr)
			}
		})
	}
}

func TestKubeadmConfigurations(t *testing.T) {
	t.Parallel()
	description := describe(t, Options{ControlPlanes: 3, Workers: 1})
	tests := map[string]struct {
		machine int
		joins   bool
		want    []string // kind and, where there is one, the address it advertises
	}{
		"the first control plane makes the cluster": {
			machine: 0, want: []string{"InitConfiguration 10.99.0.11", "ClusterConfiguration ", "KubeletConfiguration "},
		},
		"another control plane joins": {machine: 1, joins: true, want: []string{"JoinConfiguration 10.99.0.12"}},
		"a worker advertises nothing": {machine: 3, joins: true, want: []string{"JoinConfiguration "}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := kubeadmConfig{Description: description, Spec: description.Machines[tc.machine], CgroupDriver: "cgroupfs"}
			if tc.joins {
				config.Authority = []byte("a certificate")
			}
			rendered, err := config.render()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, documents(t, rendered[kubeadmConfigPath])); diff != "" {
				t.Errorf("documents (-want +got):\n%s", diff)
			}
			if tc.joins {
				if diff := cmp.Diff([]string{"Config "}, documents(t, rendered[config.DiscoveryPath()])); diff != "" {
					t.Errorf("what the machine trusts (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// documents returns the kind and the advertised address of each document of a YAML stream.
func documents(t *testing.T, content []byte) []string {
	t.Helper()
	type endpoint struct {
		AdvertiseAddress string `json:"advertiseAddress"`
	}
	var found []string
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), len(content))
	for {
		var document struct {
			Kind             string   `json:"kind"`
			LocalAPIEndpoint endpoint `json:"localAPIEndpoint"`
			ControlPlane     struct {
				LocalAPIEndpoint endpoint `json:"localAPIEndpoint"`
			} `json:"controlPlane"`
		}
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, content)
		}
		address := document.LocalAPIEndpoint.AdvertiseAddress + document.ControlPlane.LocalAPIEndpoint.AdvertiseAddress
		found = append(found, document.Kind+" "+address)
	}
}

func TestBootstrapTokensHaveTheFormatThatKubernetesAsksFor(t *testing.T) {
	t.Parallel()
	token := newToken()
	if !regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`).MatchString(token) {
		t.Errorf("token = %q", token)
	}
	if token == newToken() {
		t.Error("two tokens are the same")
	}
}

func describe(t *testing.T, options Options) Description {
	t.Helper()
	description, err := Describe(options)
	if err != nil {
		t.Fatal(err)
	}
	return description
}
