package staticpods

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/yamlfile"
)

// Manifest is one file of the folder.
type Manifest struct {
	// Path of the file on the host.
	Path string
	// Modified is when it was last written.
	Modified time.Time
	// Mode is its permissions.
	Mode fs.FileMode
	// Pod that it defines; nil where Refused says why there is none.
	Pod *corev1.Pod
	// Refused is the mistake for which the kubelet does not use it, Ignored what it passes over.
	Refused, Ignored *yamlfile.Mistake
}

const (
	// sizeLimit bounds a file. A Pod that is larger cannot be stored either (etcd refuses 1.5 MiB).
	sizeLimit = 2 << 20
	// filesTold bounds how many files are read: a folder of many is no folder of manifests.
	filesTold = 100
)

// Reader reads manifests, each anew only when its file has changed.
type Reader struct {
	host monitor.Host
	seen map[string]seen
}

// seen is a file as it was read.
type seen struct {
	info     fs.FileInfo
	manifest Manifest
}

// NewReader makes a reader of a host's manifests.
func NewReader(host monitor.Host) *Reader { return &Reader{host: host} }

// Read reads the manifests of a folder as the kubelet does: every file whose name does not begin with
// a dot, whatever its ending, so that editors' copies are among them
// (k8s.io/kubernetes/pkg/kubelet/config/file.go, extractFromDir). False tells that there is no such folder.
func (r *Reader) Read(folder string) (manifests []Manifest, there bool, err error) {
	entries, err := r.host.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, fmt.Errorf("listing static pod manifests in %s: %w", folder, err)
	}
	var errs []error
	read := map[string]seen{}
	defer func() { r.seen = read }()
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		if len(manifests) == filesTold {
			errs = append(errs, fmt.Errorf("reading static pod manifests: %s holds more than %d files; the rest is not read", folder, filesTold))
			break
		}
		name := path.Join(folder, e.Name())
		s, err := r.file(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // It went away in between.
		case err != nil:
			errs = append(errs, fmt.Errorf("reading static pod manifest: %w", err))
		default:
			read[name] = s
			manifests = append(manifests, s.manifest)
		}
	}
	return manifests, true, errors.Join(errs...)
}

func (r *Reader) file(name string) (seen, error) {
	at, err := r.host.Path(name)
	if err != nil {
		return seen{}, err
	}
	info, err := os.Stat(at)
	if err != nil {
		return seen{}, err
	}
	if last, ok := r.seen[name]; ok && os.SameFile(last.info, info) && last.info.ModTime().Equal(info.ModTime()) && last.info.Size() == info.Size() && last.info.Mode() == info.Mode() {
		return last, nil
	}
	m, err := read(r.host, name, info)
	return seen{info, m}, err
}

func read(host monitor.Host, name string, info fs.FileInfo) (Manifest, error) {
	m := Manifest{Path: name, Modified: info.ModTime(), Mode: info.Mode()}
	if !info.Mode().IsRegular() {
		m.Refused = &yamlfile.Mistake{Text: "it is not a regular file"}
		return m, nil
	}
	data, err := host.ReadFile(name, sizeLimit)
	if err != nil {
		return m, err
	}
	var pod corev1.Pod
	m.Refused, m.Ignored = yamlfile.Decode(data, &pod)
	if m.Refused == nil {
		m.Refused = validate(&pod)
	}
	if m.Refused == nil {
		pod.Namespace = cmp.Or(pod.Namespace, corev1.NamespaceDefault)
		m.Pod = &pod
	}
	return m, nil
}

// validate finds what the kubelet refuses first of a file that can be decoded
// (k8s.io/kubernetes/pkg/kubelet/config/common.go, tryDecodeSinglePod; pkg/apis/core/validation).
func validate(pod *corev1.Pod) *yamlfile.Mistake {
	switch {
	case pod.APIVersion == "" && pod.Kind == "":
		return &yamlfile.Mistake{Text: "it holds no Pod: apiVersion and kind are missing"}
	case pod.APIVersion != "v1" || pod.Kind != "Pod":
		return &yamlfile.Mistake{Text: fmt.Sprintf("it is a %s of %s, not a Pod of v1", pod.Kind, pod.APIVersion)}
	case pod.Name == "":
		return &yamlfile.Mistake{Text: "metadata.name is missing"}
	case len(pod.Spec.Containers) == 0:
		return &yamlfile.Mistake{Text: "spec.containers is missing"}
	}
	for i, c := range pod.Spec.Containers {
		if c.Name == "" || c.Image == "" {
			return &yamlfile.Mistake{Text: fmt.Sprintf("spec.containers[%d] lacks a name or an image", i)}
		}
	}
	return nil
}
