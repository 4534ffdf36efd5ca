// Package registry is the lab's image registry: a real one on the wire, filled
// from archives, optionally behind a password.
package registry

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Credentials are what a registry asks for. Their zero value asks for nothing.
type Credentials struct {
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
}

// Image is an archive to serve.
type Image struct {
	// Archive is the file, as image.Save writes it.
	Archive string `json:"archive"`
	// Reference is the name the archive holds the image under.
	Reference string `json:"reference"`
	// Repository is the name to serve it under, with a tag and without the
	// registry's own name: "shop/api:1.0.0".
	Repository string `json:"repository"`
}

// New returns a registry that keeps blobs in dir. Manifests are kept in memory:
// after a restart it serves what is loaded into it again.
func New(dir string, credentials Credentials) http.Handler {
	handler := registry.New(
		registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)),
		registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)),
	)
	if credentials == (Credentials{}) {
		return handler
	}
	return demand(credentials, handler)
}

// demand lets only requests with the credentials through to next. Others get the
// answer that the distribution specification asks for, by which a client knows
// that it has to log in.
func demand(credentials Credentials, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		userOK := subtle.ConstantTimeCompare([]byte(user), []byte(credentials.User))
		passwordOK := subtle.ConstantTimeCompare([]byte(password), []byte(credentials.Password))
		if userOK&passwordOK == 1 {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry.lab"`)
		w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		// A client that is gone needs no answer.
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
	})
}

// Load pushes images to the registry that listens on address.
func Load(ctx context.Context, address string, credentials Credentials, images []Image) error {
	options := []remote.Option{remote.WithContext(ctx)}
	if credentials != (Credentials{}) {
		options = append(options, remote.WithAuth(&authn.Basic{Username: credentials.User, Password: credentials.Password}))
	}
	for _, image := range images {
		source, err := name.NewTag(image.Reference)
		if err != nil {
			return fmt.Errorf("reading image name: %w", err)
		}
		content, err := tarball.ImageFromPath(image.Archive, &source)
		if err != nil {
			return fmt.Errorf("reading %s from %s: %w", image.Reference, image.Archive, err)
		}
		target, err := name.NewTag(address+"/"+image.Repository, name.Insecure)
		if err != nil {
			return fmt.Errorf("reading image name: %w", err)
		}
		if err := remote.Write(target, content, options...); err != nil {
			return fmt.Errorf("loading %s into the registry: %w", image.Reference, err)
		}
	}
	return nil
}
