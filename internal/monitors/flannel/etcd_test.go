package flannel

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/maek-dev/maek/internal/snapshot"
)

// startEtcd starts an etcd for a test and returns its endpoint. Where there is none, the test is skipped,
// and says what otherwise would do.
func startEtcd(t *testing.T, program, otherwise string, flags ...string) string {
	t.Helper()
	if program == "" {
		t.Skip(otherwise)
	}
	listen := func() string {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		return "http://" + l.Addr().String()
	}
	endpoint, peer := listen(), listen()
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, append(flags, "--data-dir="+t.TempDir(), "--listen-client-urls="+endpoint, "--advertise-client-urls="+endpoint,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer)...)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // It ends with the test's context.
		if t.Failed() {
			t.Log(log.String())
		}
	})
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := client.Get(ctx, "ready"); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return endpoint
}

// etcd3 is the program that the tests against a real API server use too.
func etcd3() string {
	for _, folder := range []string{os.Getenv("KUBEBUILDER_ASSETS"), "../../../bin/controlplane"} {
		if program := filepath.Join(folder, "etcd"); folder != "" {
			if _, err := os.Stat(program); err == nil {
				return program
			}
		}
	}
	return ""
}

func TestSubnetsInRealEtcdV3(t *testing.T) {
	t.Parallel()
	endpoint := startEtcd(t, etcd3(), "there is no etcd: make test-controlplane builds one")
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	put := func(key, value string, seconds int64) {
		t.Helper()
		var options []clientv3.OpOption
		if seconds > 0 {
			lease, err := client.Grant(t.Context(), seconds)
			if err != nil {
				t.Fatal(err)
			}
			options = append(options, clientv3.WithLease(lease.ID))
		}
		if _, err := client.Put(t.Context(), key, value, options...); err != nil {
			t.Fatal(err)
		}
	}
	put("/coreos.com/network/config", `{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":1,"Port":8472}}`, 0)
	put("/coreos.com/network/subnets/10.5.1.0-24", `{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:00:00:01"}}`, 86400)
	put("/coreos.com/network/subnets/10.5.2.0-24", `{"PublicIP":"192.0.2.2","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:00:00:02"}}`, 0)
	root := written(t, "testdata/kubernetes", map[string]string{
		"proc/206/cmdline": "flanneld\x00-etcd-endpoints=" + endpoint + "\x00", "run/flannel/subnet.env": "FLANNEL_SUBNET=10.5.1.1/24\n",
	})
	got, problem := see(t.Context(), t, New(hostAt(root)))
	if problem != "" {
		t.Error(problem)
	}
	if ttl := got["flannel/lease/10.5.1.0%2F24/ttl"]; ttl != "86400" && ttl != "86399" {
		t.Errorf("the lease lasts %q s, want a day", ttl)
	}
	delete(got, "flannel/lease/10.5.1.0%2F24/ttl")
	for key, want := range map[snapshot.EvidenceKey]string{
		"flannel/etcd/api": "v3", "flannel/etcd/leases": "2", "flannel/config/network": "10.5.0.0/16", "flannel/config/vni": "1", "flannel/config/port": "8472",
		"flannel/lease/10.5.1.0%2F24/reserved": "false", "flannel/lease/10.5.1.0%2F24/vni": "1", "flannel/lease/10.5.1.0%2F24/mac": "aa:bb:cc:00:00:01",
		"flannel/lease/10.5.2.0%2F24/reserved": "true", "flannel/lease/10.5.2.0%2F24/ttl": "",
	} {
		if value := got[key]; value != want {
			t.Errorf("%s is %q, want %q", key, value, want)
		}
	}
}

func TestSubnetsInRealEtcdV2(t *testing.T) {
	t.Parallel()
	endpoint := startEtcd(t, os.Getenv("MAEK_ETCD_V2"), "MAEK_ETCD_V2 names no etcd up to 3.5 that takes --enable-v2, such as Debian 12's", "--enable-v2")
	put := func(key, value, more string) {
		t.Helper()
		body := url.Values{"value": {value}}.Encode() + more
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, endpoint+"/v2/keys"+key, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	put("/atomic.io/network/config", `{"Network":"10.10.0.0/16"}`, "")
	put("/atomic.io/network/subnets/10.10.31.0-24", `{"PublicIP":"192.0.2.31","BackendType":"vxlan","BackendData":{"VtepMAC":"aa:bb:cc:00:00:31"}}`, "&ttl=86400")
	root := written(t, "testdata/kubernetes", map[string]string{
		"proc/206/cmdline": "flanneld\x00-etcd-endpoints=" + endpoint + "\x00-etcd-prefix=/atomic.io/network\x00",
	})
	got, problem := see(t.Context(), t, New(hostAt(root)))
	if problem != "" {
		t.Error(problem)
	}
	for key, want := range map[snapshot.EvidenceKey]string{
		"flannel/etcd/api": "v2", "flannel/etcd/leases": "1", "flannel/config/backend": "udp",
		"flannel/lease/10.10.31.0%2F24/ttl": "86400", "flannel/lease/10.10.31.0%2F24/public-ip": "192.0.2.31",
	} {
		if value := got[key]; value != want {
			t.Errorf("%s is %q, want %q", key, value, want)
		}
	}
}
