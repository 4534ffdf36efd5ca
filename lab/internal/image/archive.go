package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Archive is an image saved on this machine.
type Archive struct {
	// Reference is the full name of the image, with a tag.
	Reference string `json:"reference"`
	// Path is the archive's file.
	Path string `json:"path"`
}

// SaveMissing saves those images that the cache folder dir does not hold yet, and
// returns where all of them are. An image is made anew when anything in its spec
// changes; programs are told apart by their path, which [component.Cache] changes
// with their content.
//
// [component.Cache]: https://pkg.go.dev/github.com/maek-dev/maek/lab/internal/component#Cache
func SaveMissing(dir string, specs []Spec) ([]Archive, error) {
	archives := make([]Archive, 0, len(specs))
	for _, spec := range specs {
		file, err := fileName(spec)
		if err != nil {
			return nil, err
		}
		archive := Archive{Reference: spec.Reference, Path: filepath.Join(dir, "images", file)}
		if _, err := os.Stat(archive.Path); errors.Is(err, fs.ErrNotExist) {
			err = Save(archive.Path, spec)
			if err != nil {
				return nil, err
			}
		} else if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", spec.Reference, err)
		}
		archives = append(archives, archive)
	}
	return archives, nil
}

// fileName returns the name of the archive of exactly this spec.
func fileName(spec Spec) (string, error) {
	content, err := json.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("encoding the spec of %s: %w", spec.Reference, err)
	}
	sum := sha256.Sum256(content)
	base := strings.ReplaceAll(path.Base(spec.Reference), ":", "-")
	return base + "-" + hex.EncodeToString(sum[:])[:12] + ".tar", nil
}
