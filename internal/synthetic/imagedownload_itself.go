package synthetic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// byItself downloads the image as Kuberhealthy's check does: the checker asks the registry, and throws
// away what comes.
func (d *imageDownload) byItself(ctx context.Context) Result {
	began := d.env.Clock.Now()
	limited, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	size, err := d.download(limited)
	took := d.env.Clock.Since(began)
	if err == nil {
		result := Result{Notes: []string{fmt.Sprintf("image %s: %d bytes in %s", d.shown(), size, took.Round(time.Millisecond))}}
		if d.env.Node != "" {
			result.Nodes = []NodeResult{{Node: d.env.Node, OK: true, Seconds: took.Seconds()}}
		}
		return result
	}
	text := fmt.Sprintf("image %s: the download failed: %s", d.shown(), d.withoutPassword(err))
	if errors.Is(limited.Err(), context.DeadlineExceeded) {
		text = fmt.Sprintf("image %s: it was not there after %s, TIMEOUT_LIMIT or the end of the run", d.shown(), took.Round(time.Millisecond))
	}
	result := Result{Errors: []string{text}}
	if d.env.Node != "" {
		result.Nodes = []NodeResult{{Node: d.env.Node, Message: text, Seconds: took.Seconds()}}
	}
	return result
}

// download reads every layer, whose digests the reader verifies, and returns how many bytes they had.
func (d *imageDownload) download(ctx context.Context) (int64, error) {
	reference, err := name.ParseReference(d.image)
	if err != nil {
		return 0, err
	}
	auth := authn.Anonymous
	if d.username != "" {
		auth = authn.FromConfig(authn.AuthConfig{Username: d.username, Password: d.password})
	}
	image, err := remote.Image(reference, remote.WithContext(ctx), remote.WithAuth(auth), remote.WithUserAgent(userAgent),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		return 0, err
	}
	layers, err := image.Layers()
	if err != nil {
		return 0, err
	}
	var size int64
	for i, layer := range layers {
		n, err := discard(layer)
		size += n
		if err != nil {
			return size, fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err)
		}
	}
	return size, nil
}

func discard(layer v1.Layer) (int64, error) {
	content, err := layer.Compressed()
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, content)
	return n, errors.Join(err, content.Close())
}

// withoutPassword words an error of the registry; what it answers may repeat what it was asked.
func (d *imageDownload) withoutPassword(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if d.password != "" {
		text = strings.ReplaceAll(text, d.password, "...")
	}
	return text
}
