package snapshot

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseImageFindsRegistryRepositoryAndTag(t *testing.T) {
	for reference, want := range map[string]Image{
		"nginx":                          {Registry: "docker.io", Repository: "nginx"},
		"shop/front:2.4.1":               {Registry: "docker.io", Repository: "shop/front", Tag: "2.4.1"},
		"registry.shop:5000/front":       {Registry: "registry.shop:5000", Repository: "registry.shop:5000/front"},
		"registry.shop:5000/front:1":     {Registry: "registry.shop:5000", Repository: "registry.shop:5000/front", Tag: "1"},
		"localhost/a/b:1@sha256:0f":      {Registry: "localhost", Repository: "localhost/a/b", Tag: "sha256:0f"},
		"registry.k8s.io/pause@sha256:1": {Registry: "registry.k8s.io", Repository: "registry.k8s.io/pause", Tag: "sha256:1"},
		"":                               {Registry: "docker.io"},
	} {
		t.Run(reference, func(t *testing.T) {
			if diff := cmp.Diff(want, ParseImage(reference)); diff != "" {
				t.Errorf("parts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseLookUpTellsNoSuchNameFromNoAnswer(t *testing.T) {
	const head = `failed to pull and unpack image "registry.shop/front:1": failed to resolve reference "registry.shop/front:1": failed to do request: Head "https://registry.shop/v2/front/manifests/1": dial tcp: `
	for name, tc := range map[string]struct {
		message string
		want    LookUpFailure
		wantOK  bool
	}{
		"the name server says no":     {head + "lookup registry.shop on 10.0.0.2:53: no such host", LookUpFailure{"registry.shop", true}, true},
		"without naming the server":   {head + "lookup registry.shop: no such host", LookUpFailure{"registry.shop", true}, true},
		"the name server is silent":   {head + "lookup registry.shop on 192.0.2.1:53: read udp 10.0.0.5:4242->192.0.2.1:53: i/o timeout", LookUpFailure{"registry.shop", false}, true},
		"no name server listens":      {head + "lookup registry.shop on 127.0.0.1:53: read udp 127.0.0.1:4242->127.0.0.1:53: read: connection refused", LookUpFailure{"registry.shop", false}, true},
		"the name server fails":       {head + "lookup registry.shop on 10.0.0.2:53: server misbehaving", LookUpFailure{"registry.shop", false}, true},
		"the registry itself is mute": {head + "dial tcp 10.0.0.9:443: i/o timeout", LookUpFailure{}, false},
		"the image does not exist":    {`failed to resolve image: registry.shop/front:1: not found`, LookUpFailure{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := ParseLookUp(tc.message)
			if ok != tc.wantOK {
				t.Fatalf("ok = %t, want %t", ok, tc.wantOK)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("failure (-want +got):\n%s", diff)
			}
		})
	}
}
