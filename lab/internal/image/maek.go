package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// MaekRepository is where Maek's own images are called to be from. Nothing is
// ever pushed there by this package.
const MaekRepository = "ghcr.io/maek-dev"

// MaekPrograms are Maek's programs that run in pods, by file name.
func MaekPrograms() []string {
	return []string{"kubectl-maek", "maek-agent"}
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
