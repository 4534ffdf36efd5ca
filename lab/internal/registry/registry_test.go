package registry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const reference = "lab.example:5000/shop/api:1.0.0"

// saved writes a small image to an archive.
func saved(t *testing.T) Image {
	t.Helper()
	layer, err := random.Layer(1024, "application/vnd.oci.image.layer.v1.tar+gzip")
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "api.tar")
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		t.Fatal(err)
	}
	return Image{Archive: archive, Reference: reference, Repository: "shop/api:1.0.0"}
}

// serve starts a registry and loads an image into it.
func serve(t *testing.T, credentials Credentials) (address string) {
	t.Helper()
	server := httptest.NewServer(New(t.TempDir(), credentials))
	t.Cleanup(server.Close)
	address = strings.TrimPrefix(server.URL, "http://")
	if err := Load(t.Context(), address, credentials, []Image{saved(t)}); err != nil {
		t.Fatal(err)
	}
	return address
}

func TestPulling(t *testing.T) {
	secret := Credentials{User: "shop", Password: "open sesame"}
	tests := map[string]struct {
		demanded Credentials
		shown    *Credentials
		image    string
		wantErr  string
	}{
		"from the open registry":                 {image: "shop/api:1.0.0"},
		"a tag that there is not":                {image: "shop/api:9.9.9", wantErr: "MANIFEST_UNKNOWN"},
		"a repository that there is not":         {image: "shop/nothing:1.0.0", wantErr: "NAME_UNKNOWN"},
		"with the password":                      {demanded: secret, shown: &secret, image: "shop/api:1.0.0"},
		"without the password":                   {demanded: secret, image: "shop/api:1.0.0", wantErr: "UNAUTHORIZED"},
		"with another password":                  {demanded: secret, shown: &Credentials{"shop", "knock"}, image: "shop/api:1.0.0", wantErr: "UNAUTHORIZED"},
		"with the password under another's name": {demanded: secret, shown: &Credentials{"thief", "open sesame"}, image: "shop/api:1.0.0", wantErr: "UNAUTHORIZED"},
	}
	for caseName, tc := range tests {
		t.Run(caseName, func(t *testing.T) {
			tag, err := name.NewTag(serve(t, tc.demanded)+"/"+tc.image, name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			options := []remote.Option{remote.WithContext(t.Context())}
			if tc.shown != nil {
				options = append(options, remote.WithAuth(&authn.Basic{Username: tc.shown.User, Password: tc.shown.Password}))
			}
			img, err := remote.Image(tag, options...)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("err = %v, want one with %s", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			layers, err := img.Layers()
			if err != nil {
				t.Fatal(err)
			}
			content, err := layers[0].Compressed()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = content.Close() }() // it was only read
			if n, err := io.Copy(io.Discard, content); err != nil || n == 0 {
				t.Errorf("the layer has %d bytes, err = %v", n, err)
			}
		})
	}
}

func TestALockedRegistryTellsClientsHowToLogIn(t *testing.T) {
	server := httptest.NewServer(New(t.TempDir(), Credentials{User: "shop", Password: "open sesame"}))
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v2/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("status = %s, want 401", response.Status)
	}
	if got := response.Header.Get("WWW-Authenticate"); got != `Basic realm="registry.lab"` {
		t.Errorf("WWW-Authenticate = %q", got)
	}
}

func TestLoadingAnArchiveThatIsNotThereNamesIt(t *testing.T) {
	err := Load(t.Context(), "127.0.0.1:1", Credentials{}, []Image{{Archive: "/nowhere.tar", Reference: reference, Repository: "a:b"}})
	if err == nil || !strings.Contains(err.Error(), "/nowhere.tar") {
		t.Errorf("err = %v, want one that names the archive", err)
	}
}
