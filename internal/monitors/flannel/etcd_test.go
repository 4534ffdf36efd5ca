package flannel

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/maek-dev/maek/internal/monitors/etcdconn"
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := pb.NewKVClient(connect(t, endpoint).ClientConn).Range(ctx, &pb.RangeRequest{Key: []byte("ready")}, grpc.WaitForReady(true)); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return endpoint
}

// connect to an etcd for as long as the test lasts.
func connect(t *testing.T, endpoint string) *etcdconn.Conn {
	t.Helper()
	conn, err := etcdconn.Dial(endpoint, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
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
	conn := connect(t, endpoint)
	put := func(key, value string, seconds int64) {
		t.Helper()
		request := &pb.PutRequest{Key: []byte(key), Value: []byte(value)}
		if seconds > 0 {
			lease, err := pb.NewLeaseClient(conn.ClientConn).LeaseGrant(t.Context(), &pb.LeaseGrantRequest{TTL: seconds})
			if err != nil {
				t.Fatal(err)
			}
			request.Lease = lease.ID
		}
		if _, err := pb.NewKVClient(conn.ClientConn).Put(t.Context(), request); err != nil {
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

func TestEtcdV3ThatWantsAPassword(t *testing.T) {
	t.Parallel()
	endpoint := startEtcd(t, etcd3(), "there is no etcd: make test-controlplane builds one")
	conn := connect(t, endpoint)
	if _, err := pb.NewKVClient(conn.ClientConn).Put(t.Context(), &pb.PutRequest{Key: []byte("/coreos.com/network/config"), Value: []byte(`{"Network":"10.5.0.0/16"}`)}); err != nil {
		t.Fatal(err)
	}
	users := pb.NewAuthClient(conn.ClientConn)
	_, err1 := users.UserAdd(t.Context(), &pb.AuthUserAddRequest{Name: "root", Password: "open-sesame"})
	_, err2 := users.RoleAdd(t.Context(), &pb.AuthRoleAddRequest{Name: "root"})
	_, err3 := users.UserGrantRole(t.Context(), &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
	_, err4 := users.AuthEnable(t.Context(), &pb.AuthEnableRequest{})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ flags, network, gap string }{
		"the password is right": {flags: "-etcd-username=root\x00-etcd-password=open-sesame\x00", network: "10.5.0.0/16"},
		"the password is wrong": {flags: "-etcd-username=root\x00-etcd-password=abracadabra\x00", gap: "authentication failed"},
		"there is none":         {gap: "user name is empty"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := written(t, "testdata/kubernetes", map[string]string{"proc/206/cmdline": "flanneld\x00-etcd-endpoints=" + endpoint + "\x00" + tc.flags})
			got, problem := see(t.Context(), t, New(hostAt(root)))
			if got["flannel/config/network"] != tc.network || (tc.gap == "") != (problem == "") || !strings.Contains(problem, tc.gap) {
				t.Errorf("the network is %q and the gap %q", got["flannel/config/network"], problem)
			}
		})
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
