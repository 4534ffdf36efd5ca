package image

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// MaekRepository is where Maek's own images are called to be from. Nothing is
// ever pushed there by this package.
const MaekRepository = "ghcr.io/maek-dev"

// MaekPrograms are Maek's programs that run in pods, by file name.
func MaekPrograms() []string {
	return []string{"kubectl-maek", "maek-agent", "maek-checker", "maek-operator"}
}

// Maek returns the specs of the images of programs, which were built into folder.
func Maek(folder, version string, programs []string) ([]Spec, error) {
	specs := make([]Spec, 0, len(programs))
	for _, program := range programs {
		file := filepath.Join(folder, program)
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no %s: build Maek's programs first (make build)", file)
		} else if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", program, err)
		}
		specs = append(specs, Spec{
			Reference:  MaekRepository + "/" + program + ":" + version,
			Programs:   []string{file},
			Entrypoint: []string{binDir + "/" + program},
			User:       NonRoot,
			Labels: map[string]string{
				// https://github.com/opencontainers/image-spec/blob/main/annotations.md
				"org.opencontainers.image.title":    program,
				"org.opencontainers.image.version":  version,
				"org.opencontainers.image.source":   "https://github.com/maek-dev/maek",
				"org.opencontainers.image.licenses": "Apache-2.0",
			},
		})
	}
	return specs, nil
}

// Checker is the program of the stock checks.
const Checker = "maek-checker"

// upstreamChecks are the names under which the manifests of both Kuberhealthys ask for
// the stock checks' images, without docker.io/kuberhealthy/
// (https://github.com/kuberhealthy/kuberhealthy, branches master and main: cmd, deploy,
// docs).
var upstreamChecks = map[string][]string{
	"cronjob-checker":          {"v2.1.0", "v2.1.1"},
	"daemonset-check":          {"v0.1.0", "v3.1.0", "v3.3.0", "v3.3.1"},
	"deployment-check":         {"v0.1.1", "v1.5.1", "v1.9.0", "v1.9.1"},
	"dns-resolution-check":     {"v1.5.0", "v1.5.1"},
	"http-check":               {"v1.5.0", "v1.5.1"},
	"http-content-check":       {"v1.5.0", "v1.5.1"},
	"image-download-check":     {"v0.0.1", "v0.1.0"},
	"namespace-pod-check":      {"v1.1.0", "v1.1.1"},
	"network-connection-check": {"v0.2.0", "v0.2.1"},
	"pod-restarts-check":       {"v2.5.0", "v2.5.1"},
	"pod-status-check":         {"v1.3.0", "v1.3.1"},
	"resource-quota-check":     {"v1.3.0", "v1.3.1"},
	"ssl-expiry-check":         {"v3.2.0", "v3.2.1"},
	"ssl-handshake-check":      {"v3.2.0", "v3.2.1"},
	"test-check":               {"v1.2.1", "v1.4.0", "v1.4.1"},
}

// UpstreamChecks returns the specs of images of the checker, which was built into
// folder, under the names that Kuberhealthy's manifests use: so they run unchanged.
// Nothing is ever pushed to where the names point.
func UpstreamChecks(folder, version string) ([]Spec, error) {
	specs, err := Maek(folder, version, []string{Checker})
	if err != nil {
		return nil, err
	}
	checker := specs[0]
	specs = specs[:0]
	for _, check := range slices.Sorted(maps.Keys(upstreamChecks)) {
		for _, tag := range upstreamChecks[check] {
			spec := checker
			spec.Reference = "docker.io/kuberhealthy/" + check + ":" + tag
			// As arguments: the pods that a check makes of its own image are given others.
			spec.Args = []string{"run", check}
			specs = append(specs, spec)
		}
	}
	return specs, nil
}
