//go:build unix

package members

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/maek-dev/maek/internal/monitors/etcd"
)

func connect(t *testing.T, p *process) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(p.client, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestQuotaIsUsedUp(t *testing.T) {
	c := newCluster(t, 1, "--quota-backend-bytes=2097152")
	kv := pb.NewKVClient(connect(t, c.members[0]))
	for i := range 64 {
		if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte{byte(i)}, Value: bytes.Repeat([]byte("x"), 256<<10)}); err != nil {
			break
		}
	}
	got := look(t, etcd.New(c.host(c.members[0])))
	id := byName(t, got, "m1")["id"]
	if a := got[keyOf("etcd", "alarm", id, "NOSPACE")]; a != "true" {
		t.Errorf("alarm NOSPACE of %s = %q in %v, want true", id, a, got)
	}
	if m := byName(t, got, "m1"); m["answer"] != "yes" || m["quorum-read"] != "yes" || m["db-quota"] != "2097152" {
		t.Errorf("member = %v, want one that answers and reads", m)
	}
	if got["etcd/local/health"] != "false" || !strings.Contains(got["etcd/local/health-reason"], "NOSPACE") {
		t.Errorf("health = %s (%s), want false for NOSPACE", got["etcd/local/health"], got["etcd/local/health-reason"])
	}
}

func TestLearnerHasNoVote(t *testing.T) {
	c := newCluster(t, 1)
	first := c.members[0]
	joining := &process{name: "m2", client: freeAddress(t), peer: freeAddress(t), metrics: freeAddress(t)}
	_, err := pb.NewClusterClient(connect(t, first)).MemberAdd(t.Context(), &pb.MemberAddRequest{PeerURLs: []string{"http://" + joining.peer}, IsLearner: true})
	if err != nil {
		t.Fatal(err)
	}
	m := etcd.New(c.host(first))
	if got := byName(t, look(t, m), ""); got["learner"] != "true" || got["answer"] != "" || got["learner-since"] == "" {
		t.Errorf("a member that was added and never started = %v, want a learner that nobody asks", got)
	}
	joining.args = c.flags(joining, "m1=http://"+first.peer+",m2=http://"+joining.peer, "existing")
	c.start(joining)
	var got map[string]string
	c.wait("the learner answers", func() bool {
		evidence := look(t, m)
		for k := range evidence {
			if s := k.Segments(); s[1] == "member" && s[3] == "name" && evidence[k] == "m2" {
				got = byName(t, evidence, "m2")
			}
		}
		return got["answer"] == "yes"
	})
	if got["learner"] != "true" || got["quorum-read"] != "" {
		t.Errorf("learner = %v, want one that is not asked to read", got)
	}
}

// planted is a value that stands nowhere else in a database.
const planted = "a value that nobody else has"

func TestOneMembersDataDiffer(t *testing.T) {
	c := newCluster(t, 3)
	kv := pb.NewKVClient(connect(t, c.members[0]))
	if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("key"), Value: []byte(planted)}); err != nil {
		t.Fatal(err)
	}
	m := etcd.New(c.host(c.members[0]), etcd.WithHash())
	hashes := func() map[string]int {
		out := map[string]int{}
		got := look(t, m)
		for _, p := range c.members {
			member := byName(t, got, p.name)
			if member["hash"] == "" {
				return nil
			}
			out[member["hash"]+" at "+member["hash-revision"]+" from "+member["hash-compact-revision"]]++
		}
		return out
	}
	c.wait("all members have the key", func() bool { return len(hashes()) == 1 })
	file := filepath.Join(c.dir, "m3", "member", "snap", "db")
	c.wait("the value is in the file", func() bool {
		data, err := os.ReadFile(file)
		return err == nil && bytes.Contains(data, []byte(planted))
	})
	c.stop(c.members[2])
	corrupt(t, file)
	c.start(c.members[2])
	c.waitHealthy(c.members[2])
	c.wait("the hashes differ", func() bool { return len(hashes()) == 2 })
}

// corrupt changes a value in a member's database, whose pages carry no checksum.
func corrupt(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(data, []byte(planted), []byte(strings.Repeat("x", len(planted)))), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := newAuthority(t, dir, "ca"), newAuthority(t, dir, "other-ca")
	ours.issue(t, "server")
	ours.issue(t, "healthcheck-client")
	bare := t.TempDir()
	data, err := os.ReadFile(ours.cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bare, "ca.crt"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ca         string
		wantAnswer string
		wantGap    string
	}{
		"the right authority":    {ca: ours.cert, wantAnswer: "yes"},
		"another authority":      {ca: theirs.cert, wantAnswer: "certificate", wantGap: "unknown authority"},
		"no certificate to show": {ca: filepath.Join(bare, "ca.crt"), wantAnswer: "denied", wantGap: "it wants a client certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1)
			p := c.members[0]
			c.stop(p)
			for i, a := range p.args {
				if strings.Contains(a, "client-urls=") {
					p.args[i] = strings.Replace(a, "http:", "https:", 1)
				}
			}
			serving := slices.Concat(p.args, []string{"--client-cert-auth", "--cert-file=" + dir + "/server.crt", "--key-file=" + dir + "/server.key", "--trusted-ca-file=" + ours.cert})
			p.args = serving
			c.start(p)
			c.waitHealthy(p)
			p.args = slices.Concat(serving[:len(serving)-1], []string{"--trusted-ca-file=" + tc.ca, "--cert-file=", "--key-file="})
			host := c.host(p)
			// The certificates are where the flags say, below the root of the machine.
			copyInto(t, host.Root, dir)
			copyInto(t, host.Root, bare)
			_, gap := etcd.New(host).Observe(t.Context())
			if said := fmt.Sprint(gap); (gap != nil) != (tc.wantGap != "") || !strings.Contains(said, tc.wantGap) {
				t.Errorf("gap = %v, want one that tells of %q", gap, tc.wantGap)
			}
			got := look(t, etcd.New(host))
			m := byName(t, got, "m1")
			if m["answer"] != tc.wantAnswer || m["certificate-subject"] != "server" || m["certificate-expires"] == "" {
				t.Errorf("member = %v, want %s and the certificate of server", m, tc.wantAnswer)
			}
		})
	}
}

func copyInto(t *testing.T, root, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
}

// authority signs certificates for loopback.
type authority struct {
	dir, cert string
	parent    *x509.Certificate
	key       *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{dir: dir, cert: filepath.Join(dir, name+".crt")}
	a.key = newKey(t)
	a.parent = template(name)
	a.parent.IsCA, a.parent.BasicConstraintsValid, a.parent.KeyUsage = true, true, x509.KeyUsageCertSign
	write(t, a.cert, "CERTIFICATE", sign(t, a.parent, a.parent, a.key, a.key))
	return a
}

func (a *authority) issue(t *testing.T, name string) {
	t.Helper()
	key, c := newKey(t), template(name)
	c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	write(t, filepath.Join(a.dir, name+".crt"), "CERTIFICATE", sign(t, c, a.parent, key, a.key))
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(a.dir, name+".key"), "EC PRIVATE KEY", der)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// template of a certificate that is good now: etcd reads the real clock.
func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func sign(t *testing.T, c, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func write(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
