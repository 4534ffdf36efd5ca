package cri_test

import (
	"context"
	"embed"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/cri"
	"github.com/maek-dev/maek/internal/snapshot"
)

//go:embed testdata/*.json
var answers embed.FS

// recorded answers as the containerd of a machine of the lab did.
type recorded struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	runtimeapi.UnimplementedImageServiceServer
	t *testing.T
	// statuses counts how often each sandbox was asked for.
	statuses atomic.Int64
}

func load[T proto.Message](r *recorded, name string, into T) (T, error) {
	data, err := answers.ReadFile("testdata/" + name + ".json")
	if err != nil {
		r.t.Errorf("reading what was recorded: %v", err)
		return into, err
	}
	return into, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, into)
}

func (r *recorded) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return load(r, "version", &runtimeapi.VersionResponse{})
}

func (r *recorded) Status(context.Context, *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	return load(r, "status", &runtimeapi.StatusResponse{})
}

func (r *recorded) ListPodSandbox(context.Context, *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	return load(r, "sandboxes", &runtimeapi.ListPodSandboxResponse{})
}

func (r *recorded) ListContainers(context.Context, *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	return load(r, "containers", &runtimeapi.ListContainersResponse{})
}

func (r *recorded) PodSandboxStatus(context.Context, *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	r.statuses.Add(1)
	return load(r, "sandbox-status", &runtimeapi.PodSandboxStatusResponse{})
}

func (r *recorded) ImageFsInfo(context.Context, *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	return load(r, "image-filesystem", &runtimeapi.ImageFsInfoResponse{})
}

// machine is one whose kubelet uses a socket.
func machine(t *testing.T) (host monitor.Host, socket string) {
	t.Helper()
	// A socket's path may have 107 bytes: the test's own folder is reached by a short one.
	t.Chdir(t.TempDir())
	root := "."
	for _, folder := range []string{"run/containerd", "var/lib/kubelet", "proc"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// As on hosts: the link must be followed below the root.
	if err := os.Symlink("/run", filepath.Join(root, "var/run")); err != nil {
		t.Fatal(err)
	}
	config := "kind: KubeletConfiguration\ncontainerRuntimeEndpoint: unix:///var/run/containerd/containerd.sock\n"
	if err := os.WriteFile(filepath.Join(root, "var/lib/kubelet/config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var ticks atomic.Int64
	now := func() time.Time {
		return time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC).Add(time.Duration(ticks.Add(1)) * time.Millisecond)
	}
	return monitor.Host{Root: root, Node: "w1", Now: now}, filepath.Join(root, "run/containerd/containerd.sock")
}

func listen(t *testing.T, socket string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func look(t *testing.T, m monitor.Monitor) map[snapshot.EvidenceKey]string {
	t.Helper()
	got, err := m.Observe(t.Context())
	if err != nil {
		t.Errorf("Observe: %v", err)
	}
	out := map[snapshot.EvidenceKey]string{}
	for _, e := range got {
		documented := false
		for _, k := range m.Keys {
			documented = documented || e.Key.Fits(k.Pattern)
		}
		if !documented {
			t.Errorf("%s is given and not documented", e.Key)
		}
		out[e.Key] = e.Value
	}
	return out
}

func TestRuntimeThatAnswers(t *testing.T) {
	host, socket := machine(t)
	server, r := grpc.NewServer(), &recorded{t: t}
	runtimeapi.RegisterRuntimeServiceServer(server, r)
	runtimeapi.RegisterImageServiceServer(server, r)
	l := listen(t, socket)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	m := cri.New(host)
	got := look(t, m)
	if again := look(t, m); len(again) != len(got) || r.statuses.Load() != 9 {
		t.Errorf("the second look gives %d values and %d sandboxes were asked for, want %d and each of 9 once", len(again), r.statuses.Load(), len(got))
	}
	want := map[snapshot.EvidenceKey]string{
		"cri/endpoint": "/var/run/containerd/containerd.sock", "cri/source": "kubelet configuration", "cri/answer": "yes", "cri/runtime": "containerd", "cri/version": "v2.2.1",
		"cri/condition/RuntimeReady/status": "true", "cri/condition/NetworkReady/status": "true", "cri/sandboxes/ready": "9", "cri/sandboxes/not-ready": "1",
		"sandbox/431c3355-bb8f-493d-bdd6-aa5147b6575c/pod": "shop/db-0", "sandbox/431c3355-bb8f-493d-bdd6-aa5147b6575c/state": "ready",
		"sandbox/431c3355-bb8f-493d-bdd6-aa5147b6575c/ip": "10.244.1.7", "sandbox/431c3355-bb8f-493d-bdd6-aa5147b6575c/running": "1", "sandbox/431c3355-bb8f-493d-bdd6-aa5147b6575c/exited": "0",
		"sandbox/431c3355-bb8f-493d-bdd6-aa5147b6575c/created": "2026-11-21T19:17:36.30451536Z",
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s = %q, want %q", k, got[k], v)
		}
	}
}

func TestRuntimeThatDoesNotAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, socket string)
		want    string
	}{
		"there is no socket": {prepare: func(*testing.T, string) {}, want: "absent"},
		"the socket is left over": {want: "refused", prepare: func(t *testing.T, socket string) {
			l := listen(t, socket)
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			_ = l.Close()
		}},
		"connections are taken and nothing is said": {want: "hung", prepare: func(t *testing.T, socket string) { listen(t, socket) }},
		"somebody else is behind it": {want: "error", prepare: func(t *testing.T, socket string) {
			server, l := grpc.NewServer(), listen(t, socket)
			go func() { _ = server.Serve(l) }()
			t.Cleanup(server.Stop)
		}},
		"rubbish comes back": {want: "error", prepare: func(t *testing.T, socket string) {
			l := listen(t, socket)
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Write([]byte(strings.Repeat("\x00\xff", 4096)))
					_ = conn.Close()
				}
			}()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			host, socket := machine(t)
			tc.prepare(t, socket)
			if got := look(t, cri.New(host)); got["cri/answer"] != tc.want {
				t.Errorf("answer = %q (%s), want %q", got["cri/answer"], got["cri/error"], tc.want)
			}
		})
	}
}

func TestWhichSocket(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  [2]string
	}{
		"the later configuration wins": {
			files: map[string]string{"var/lib/kubelet/config.yaml": "containerRuntimeEndpoint: unix:///a.sock", "var/lib/kubelet/instance-config.yaml": "containerRuntimeEndpoint: /b.sock"},
			want:  [2]string{"/b.sock", "kubelet configuration"},
		},
		"kubeadm's flags": {
			files: map[string]string{"var/lib/kubelet/config.yaml": "kind: KubeletConfiguration", "var/lib/kubelet/kubeadm-flags.env": `KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/crio/crio.sock --pod-infra-container-image=x"`},
			want:  [2]string{"/run/crio/crio.sock", "kubelet arguments"},
		},
		"a kubelet that runs": {
			files: map[string]string{"proc/77/cmdline": "/usr/bin/kubelet\x00--container-runtime-endpoint\x00unix:///c.sock\x00", "proc/78/cmdline": "vi\x00--container-runtime-endpoint=unix:///d.sock\x00"},
			want:  [2]string{"/c.sock", "kubelet arguments"},
		},
		"a socket where CRI-O has it": {files: map[string]string{"run/crio/crio.sock": ""}, want: [2]string{"/run/crio/crio.sock", "known socket"}},
		"neither kubelet nor runtime": {files: map[string]string{}},
		"a configuration of rubbish":  {files: map[string]string{"var/lib/kubelet/config.yaml": "\x00\x01{{{"}},
	} {
		t.Run(name, func(t *testing.T) {
			host, _ := machine(t)
			if err := os.Remove(filepath.Join(host.Root, "var/lib/kubelet/config.yaml")); err != nil {
				t.Fatal(err)
			}
			for name, data := range tc.files {
				path := filepath.Join(host.Root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := look(t, cri.New(host))
			if diff := cmp.Diff(tc.want, [2]string{got["cri/endpoint"], got["cri/source"]}); diff != "" {
				t.Errorf("socket (-want +got):\n%s", diff)
			}
		})
	}
}
