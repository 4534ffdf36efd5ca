// Package staticpods watches the manifests of the machine's static pods: a kubelet drops the pod of one
// that it cannot read, and only its log tells of it.
package staticpods

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/kubelet"
	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

// New makes the monitor.
func New(host monitor.Host) monitor.Monitor {
	folder, reader := kubelet.StaticPodPath(host), NewReader(host)
	return monitor.Monitor{
		Name: "staticpods", Doc: "manifests of static pods, in the folder that the kubelet's configuration names.",
		Keys:     keys,
		Requires: []monitor.Privilege{monitor.HostFiles},
		Observe: func(context.Context) ([]snapshot.MachineEvidence, error) {
			name := folder()
			if name == "" {
				return nil, nil
			}
			manifests, there, err := reader.Read(name)
			if !there {
				return nil, err
			}
			out := []snapshot.MachineEvidence{monitor.Value("static-pod-folder/path", name)}
			for _, m := range manifests {
				out = append(out, m.evidence()...)
			}
			return out, err
		},
	}
}

var keys = []monitor.Key{
	{Pattern: "static-pod-folder/path", Doc: "The folder from which the kubelet runs static pods; absent where there is none."},
	{Pattern: "static-pod/*/name", Doc: "The pod that a file defines, without the node's name. Files are named by their full path; the kubelet reads all but those that begin with a dot."},
	{Pattern: "static-pod/*/namespace", Doc: "Its namespace."},
	{Pattern: "static-pod/*/image", Doc: "The image of its first container."},
	{Pattern: "static-pod/*/arguments-hash", Doc: "SHA-256, shortened, over the command and arguments of its containers."},
	{Pattern: "static-pod/*/argument/*", Doc: "A flag of a control-plane component, by its name: the value; several are joined by commas."},
	{Pattern: "static-pod/*/modified", Doc: "RFC 3339: when the file was last written."},
	{Pattern: "static-pod/*/mode", Doc: "Its permissions, in octal."},
	{Pattern: "static-pod/*/error", Doc: "Why the kubelet cannot use the file."},
	{Pattern: "static-pod/*/error-line", Doc: "The line of the mistake, from 1."},
	{Pattern: "static-pod/*/error-text", Doc: "What stands on that line."},
	{Pattern: "static-pod/*/ignored", Doc: "What the kubelet passes over in the file: fields that it does not know, or that are there twice."},
}

func (m Manifest) evidence() []snapshot.MachineEvidence {
	key := func(what ...string) snapshot.EvidenceKey {
		return snapshot.KeyOf(append([]string{"static-pod", m.Path}, what...)...)
	}
	out := []snapshot.MachineEvidence{
		monitor.Value(key("modified"), m.Modified.UTC().Format(time.RFC3339Nano)),
		monitor.Value(key("mode"), fmt.Sprintf("%04o", m.Mode.Perm())),
	}
	if m.Refused != nil {
		out = append(out, monitor.Value(key("error"), m.Refused.Text))
		if m.Refused.Line > 0 {
			out = append(out, monitor.Int(key("error-line"), m.Refused.Line), monitor.Value(key("error-text"), m.Refused.Quote))
		}
		return out
	}
	out = append(out, monitor.Value(key("name"), m.Pod.Name), monitor.Value(key("namespace"), m.Pod.Namespace),
		monitor.Value(key("image"), m.Pod.Spec.Containers[0].Image), monitor.Value(key("arguments-hash"), hashOf(m.Pod)))
	if m.Ignored != nil {
		out = append(out, monitor.Value(key("ignored"), m.Ignored.Text))
	}
	if m.Component() {
		flags := m.Flags()
		for name, value := range flags {
			// What a value is, its name tells.
			told := strings.TrimPrefix(secret.Redact(name+"="+value), name+"=")
			out = append(out, monitor.Value(key("argument", name), told))
		}
	}
	return out
}

func hashOf(pod *corev1.Pod) string {
	h := sha256.New()
	for _, c := range pod.Spec.Containers {
		for _, arg := range slices.Concat([]string{c.Name}, c.Command, c.Args) {
			_, _ = h.Write([]byte(arg + "\x00"))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Components are the programs of the control plane that run as static pods
// (k8s.io/kubernetes/cmd/kubeadm/app/constants, ControlPlaneComponents, Etcd).
var Components = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"}

// Component tells whether the pod is one of the control plane's.
func (m Manifest) Component() bool {
	return m.Pod != nil && m.Pod.Namespace == "kube-system" && slices.Contains(Components, m.Pod.Name)
}

// Flags of its first container's command line.
func (m Manifest) Flags() map[string]string {
	out := map[string]string{}
	c := m.Pod.Spec.Containers[0]
	for _, arg := range slices.Concat(c.Command, c.Args) {
		name, value, ok := strings.Cut(arg, "=")
		if !strings.HasPrefix(name, "--") {
			continue
		}
		if !ok {
			value = "true"
		}
		if before, twice := out[name]; twice {
			value = before + "," + value
		}
		out[name] = value
	}
	return out
}
