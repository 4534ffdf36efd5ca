package machine

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// kubeconfigs are where machines have one, as kubeadm and others put them there: an administrator's
// first, then the kubelet's.
var kubeconfigs = []string{"/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/kubeconfig"}

// apiServerTime bounds the one request that tells whether the API server answers.
const apiServerTime = 3 * time.Second

// configHere is the first kubeconfig of this machine that can be used; nil where there is none. Files
// that it names are the host's, so it is read only where the host's root is this process's own.
func configHere(root string) *rest.Config {
	if filepath.Clean(root) != "/" {
		return nil
	}
	for _, path := range kubeconfigs {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if cfg, err := clientcmd.BuildConfigFromFlags("", path); err == nil {
			return cfg
		}
	}
	return nil
}

// askAPIServer asks the API server that this machine knows whether it is there; nil where it knows none.
func askAPIServer(ctx context.Context, root string) *v1alpha1.APIServerSeen {
	cfg := configHere(root)
	if cfg == nil {
		return nil
	}
	return ask(ctx, cfg)
}

func ask(ctx context.Context, cfg *rest.Config) *v1alpha1.APIServerSeen {
	ctx, cancel := context.WithTimeout(ctx, apiServerTime)
	defer cancel()
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil
	}
	seen := &v1alpha1.APIServerSeen{Server: base.Host}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		seen.Message = err.Error()
		return seen
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("readyz").String(), http.NoBody)
	if err != nil {
		return nil
	}
	resp, err := client.Do(req)
	if err != nil {
		seen.Message = plainly(err)
		return seen
	}
	_ = resp.Body.Close()
	// What refuses this machine is there, and says more to kubectl maek.
	seen.Answers = true
	if resp.StatusCode >= http.StatusInternalServerError {
		seen.Message = resp.Status
	}
	return seen
}

// plainly is a connection's error without what the sentence has already.
func plainly(err error) string {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in " + apiServerTime.String()
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return err.Error()
}
