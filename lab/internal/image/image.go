// Package image makes container images from static programs, without a container
// engine and without a registry.
//
// The same programs always give the same bytes: no timestamps, no user names, one
// layer. An image is saved as an archive that "ctr images import" and "docker
// load" read.
package image

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// NonRoot is the user that images run as unless their program has to be root. The
// number has no meaning beyond being nobody else's; distroless images use it too.
const NonRoot = "65532"

// binDir is where programs are in an image. It is in PATH, because kubeadm's
// manifests name the commands of its components without a folder.
const binDir = "/usr/local/bin"

// Spec says what an image is made of.
type Spec struct {
	// Reference is the full name of the image, with a tag.
	Reference string
	// Programs are static programs on this machine, put into the image's
	// /usr/local/bin under their own file names.
	Programs []string
	// Entrypoint is the command. Its first word is one of the programs, by its name
	// or by its path in the image.
	Entrypoint []string
	// Args are the command's arguments, in whose place a pod may put others.
	Args []string
	// User is the user the command runs as: a number, or empty for root.
	User string
	// Env are further environment variables, "NAME=value".
	Env []string
	// Labels are the image's labels.
	Labels map[string]string
	// Links are further names of the first of the programs, which does what it is called by. With links the
	// image has a /bin, for scripts that begin with #!/bin/sh.
	Links []string
}

// Build makes the image. All programs must be static and of one architecture,
// which becomes the image's.
func Build(spec Spec) (v1.Image, error) {
	layer, err := layerOf(spec)
	if err != nil {
		return nil, err
	}
	return configure(spec, layer)
}

// layerOf makes the one layer of an image, which depends on its programs and their names alone.
func layerOf(spec Spec) (v1.Layer, error) {
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return layerContent(spec.Programs, spec.Links), nil },
		// A program is read once to be unpacked on every machine: being quick
		// counts for more than being small.
		tarball.WithCompressionLevel(gzip.BestSpeed),
		tarball.WithCompressedCaching,
		tarball.WithMediaType(types.OCILayer),
	)
	if err != nil {
		return nil, fmt.Errorf("writing the layer of %s: %w", spec.Reference, err)
	}
	return layer, nil
}

// configure makes an image of a layer.
func configure(spec Spec, layer v1.Layer) (v1.Image, error) {
	if _, err := name.NewTag(spec.Reference, name.StrictValidation); err != nil {
		return nil, fmt.Errorf("reading image name: %w", err)
	}
	arch, err := architecture(spec.Programs)
	if err != nil {
		return nil, err
	}
	if err := checkEntrypoint(spec); err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, fmt.Errorf("adding the layer of %s: %w", spec.Reference, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of %s: %w", spec.Reference, err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	for i := range config.History {
		config.History[i].Created = config.Created
	}
	config.Config = v1.Config{
		Entrypoint: spec.Entrypoint,
		Cmd:        spec.Args,
		User:       spec.User,
		Env:        append([]string{"PATH=" + binDir}, spec.Env...),
		WorkingDir: "/",
		Labels:     spec.Labels,
	}
	img, err = mutate.ConfigFile(img, config)
	if err != nil {
		return nil, fmt.Errorf("setting the configuration of %s: %w", spec.Reference, err)
	}
	return img, nil
}

// checkEntrypoint reports an entrypoint that the image does not hold: a container
// of it could never start.
func checkEntrypoint(spec Spec) error {
	for _, program := range spec.Programs {
		base := filepath.Base(program)
		if len(spec.Entrypoint) > 0 && (spec.Entrypoint[0] == base || spec.Entrypoint[0] == path.Join(binDir, base)) {
			return nil
		}
	}
	return fmt.Errorf("the entrypoint %q of %s is none of its programs", spec.Entrypoint, spec.Reference)
}

// Save builds the image and writes it to an archive, which appears complete or
// not at all.
func Save(archive string, spec Spec) error {
	img, err := Build(spec)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(spec.Reference)
	if err != nil {
		return fmt.Errorf("reading image name: %w", err)
	}
	if err := save(archive, map[name.Reference]v1.Image{tag: img}); err != nil {
		return fmt.Errorf("saving %s: %w", spec.Reference, err)
	}
	return nil
}

// SaveTogether builds images of the same programs and writes them to one archive,
// which holds the programs once.
func SaveTogether(archive string, specs []Spec) error {
	images := map[name.Reference]v1.Image{}
	var layer v1.Layer
	for _, spec := range specs {
		if !slices.Equal(spec.Programs, specs[0].Programs) {
			return fmt.Errorf("saving %s: it is not made of the same programs as %s", spec.Reference, specs[0].Reference)
		}
		if layer == nil {
			var err error
			if layer, err = layerOf(spec); err != nil {
				return err
			}
		}
		img, err := configure(spec, layer)
		if err != nil {
			return err
		}
		tag, err := name.NewTag(spec.Reference)
		if err != nil {
			return fmt.Errorf("reading image name: %w", err)
		}
		images[tag] = img
	}
	if err := save(archive, images); err != nil {
		return fmt.Errorf("saving %s: %w", archive, err)
	}
	return nil
}

func save(archive string, images map[name.Reference]v1.Image) error {
	if err := os.MkdirAll(filepath.Dir(archive), 0o750); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(archive), ".image-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // it is gone when all went well
	if err := errors.Join(tarball.MultiRefWrite(images, file), file.Chmod(0o644), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), archive)
}

// layerContent streams the file system of an image as a tar archive.
func layerContent(programs, links []string) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() {
		archive := tar.NewWriter(writer)
		err := errors.Join(writeFileSystem(archive, programs), writeLinks(archive, programs, links))
		writer.CloseWithError(errors.Join(err, archive.Close()))
	}()
	return reader
}

func writeFileSystem(archive *tar.Writer, programs []string) error {
	folders := []struct {
		name string
		mode int64
	}{
		{"etc/", 0o755},
		// Programs and libraries expect a folder for temporary files.
		{"tmp/", 0o1777},
		{"usr/", 0o755},
		{"usr/local/", 0o755},
		{"usr/local/bin/", 0o755},
	}
	for _, folder := range folders {
		err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder.name, Mode: folder.mode, Format: tar.FormatPAX})
		if err != nil {
			return err
		}
	}
	files := map[string]string{
		// Go's os/user reads these; root and the user that images run as.
		"etc/group":  "root:x:0:\nnonroot:x:" + NonRoot + ":\n",
		"etc/passwd": "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:" + NonRoot + ":" + NonRoot + ":nonroot:/:/sbin/nologin\n",
	}
	for _, file := range []string{"etc/group", "etc/passwd"} {
		content := files[file]
		if err := writeFile(archive, file, 0o644, int64(len(content)), strings.NewReader(content)); err != nil {
			return err
		}
	}
	sorted := slices.SortedFunc(slices.Values(programs), func(a, b string) int {
		return strings.Compare(filepath.Base(a), filepath.Base(b))
	})
	for _, program := range sorted {
		if err := writeProgram(archive, program); err != nil {
			return err
		}
	}
	return nil
}

// writeLinks writes the further names of the first program.
func writeLinks(archive *tar.Writer, programs, links []string) error {
	if len(links) == 0 {
		return nil
	}
	all := map[string]string{"bin": binDir[1:]}
	for _, link := range links {
		all[path.Join(binDir, link)[1:]] = filepath.Base(programs[0])
	}
	for _, link := range slices.Sorted(maps.Keys(all)) {
		err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: link, Linkname: all[link], Mode: 0o777, Format: tar.FormatPAX})
		if err != nil {
			return err
		}
	}
	return nil
}

func writeProgram(archive *tar.Writer, program string) error {
	file, err := os.Open(program)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	target := path.Join(binDir, filepath.Base(program))[1:]
	return writeFile(archive, target, 0o755, info.Size(), file)
}

func writeFile(archive *tar.Writer, file string, mode, size int64, content io.Reader) error {
	err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file, Mode: mode, Size: size, Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	_, err = io.Copy(archive, content)
	return err
}
