package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/maek-dev/maek/internal/collect/live"
	"github.com/maek-dev/maek/internal/snapshot"
)

// keyPair makes a certificate and its key in PEM.
func keyPair(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

const (
	// namespace has a LimitRange that no small pod passes, some ConfigMaps and a TLS Secret.
	namespace = "questions"
	// restricted enforces the strictest Pod Security Standard.
	restricted = "questions-restricted"
)

// questionable fills the two namespaces, and returns the certificate in the Secret.
func questionable(t *testing.T) (client kubernetes.Interface, certificate []byte) {
	t.Helper()
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	strict := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: restricted, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), strict, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	limits := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "much"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, Min: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
	}}}}
	if _, err := client.CoreV1().LimitRanges(namespace).Create(t.Context(), limits, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m" + strconv.Itoa(i)}, Data: map[string]string{"a": "one"}}
		if _, err := client.CoreV1().ConfigMaps(namespace).Create(t.Context(), m, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	certificate, key := keyPair(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tls"}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": certificate, "tls.key": key}}
	if _, err := client.CoreV1().Secrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return client, certificate
}

// TestARealAPIServerAnswersQuestions asks what needs no node.
func TestARealAPIServerAnswersQuestions(t *testing.T) {
	client, certificate := questionable(t)
	// What a quorum read finds, the watch cache may learn a moment later.
	ask := func(q snapshot.Question) snapshot.Answer {
		_, c, err := live.Collect(t.Context(), admin, nil, live.Options{Name: "test", Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		return c.Answer(t.Context(), []snapshot.Question{q})[q]
	}
	tests := map[string]struct {
		ask  snapshot.Question
		want snapshot.Answer
	}{
		"a count by quorum":        {snapshot.Question{Kind: snapshot.ObjectCount, Namespace: namespace, Resource: "configmaps"}, snapshot.Answer{Outcome: snapshot.Answered, Text: "3"}},
		"a count of one":           {snapshot.Question{Kind: snapshot.ObjectCount, Namespace: namespace, Resource: "secrets"}, snapshot.Answer{Outcome: snapshot.Answered, Text: "1"}},
		"a count of another group": {snapshot.Question{Kind: snapshot.ObjectCount, Namespace: namespace, Group: "apps", Resource: "deployments"}, snapshot.Answer{Outcome: snapshot.Answered, Text: "0"}},
		"an object that is stored": {snapshot.Question{Kind: snapshot.StoredObject, Resource: "namespaces", Name: namespace}, snapshot.Answer{Outcome: snapshot.Answered}},
		"an object that is not":    {snapshot.Question{Kind: snapshot.StoredObject, Resource: "nodes", Name: "nowhere"}, snapshot.Answer{Outcome: snapshot.Absent, Error: `nodes "nowhere" not found`}},
		"what admin may do":        {snapshot.Question{Kind: snapshot.AccessReview, Verb: "delete", Resource: "nodes"}, snapshot.Answer{Outcome: snapshot.Answered, Text: "allowed"}},
		"what a ServiceAccount may not do": {
			snapshot.Question{Kind: snapshot.AccessReview, User: "system:serviceaccount:questions:default", Verb: "delete", Resource: "nodes"},
			snapshot.Answer{Outcome: snapshot.Answered, Text: "denied"},
		},
		"a pod that a LimitRange refuses": {
			snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: namespace, Resource: "pods"},
			snapshot.Answer{Outcome: snapshot.Rejected, Error: "minimum cpu usage per Container is 1"},
		},
		"a pod under the strictest Pod Security Standard": {
			snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: restricted, Resource: "pods"},
			snapshot.Answer{Outcome: snapshot.Answered},
		},
		"a Service that would be admitted": {
			snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: namespace, Resource: "services"}, snapshot.Answer{Outcome: snapshot.Answered},
		},
		"a Lease that would be admitted":       {snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: namespace, Group: "coordination.k8s.io", Resource: "leases"}, snapshot.Answer{Outcome: snapshot.Answered}},
		"a ConfigMap that would be admitted":   {snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: namespace, Resource: "configmaps"}, snapshot.Answer{Outcome: snapshot.Answered}},
		"a Deployment that would be admitted":  {snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: namespace, Group: "apps", Resource: "deployments"}, snapshot.Answer{Outcome: snapshot.Answered}},
		"a StatefulSet that would be admitted": {snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: namespace, Group: "apps", Resource: "statefulsets"}, snapshot.Answer{Outcome: snapshot.Answered}},
		"a DaemonSet that would be admitted":   {snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: namespace, Group: "apps", Resource: "daemonsets"}, snapshot.Answer{Outcome: snapshot.Answered}},
		"a ReplicaSet that would be admitted":  {snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: namespace, Group: "apps", Resource: "replicasets"}, snapshot.Answer{Outcome: snapshot.Answered}},
		"a Job that would be admitted":         {snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: namespace, Group: "batch", Resource: "jobs"}, snapshot.Answer{Outcome: snapshot.Answered}},
		"a claim that would be admitted":       {snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: namespace, Resource: "persistentvolumeclaims"}, snapshot.Answer{Outcome: snapshot.Answered}},
		"a namespace that is not there": {
			snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: "nowhere", Resource: "configmaps"},
			snapshot.Answer{Outcome: snapshot.Absent, Error: `namespaces "nowhere" not found`},
		},
		"a value of a ConfigMap":      {snapshot.Question{Kind: snapshot.ConfigMapValue, Namespace: namespace, Name: "m0", Key: "a"}, snapshot.Answer{Outcome: snapshot.Answered, Text: "one"}},
		"the certificate of a Secret": {snapshot.Question{Kind: snapshot.CertificateOf, Namespace: namespace, Name: "tls"}, snapshot.Answer{Outcome: snapshot.Answered, Text: string(certificate)}},
		"a kubelet that is not there": {snapshot.Question{Kind: snapshot.KubeletConfig, Name: "nobody"}, snapshot.Answer{Outcome: snapshot.Absent, Error: `nodes "nobody" not found`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := ask(tc.ask)
			if got.Outcome != tc.want.Outcome || got.Text != tc.want.Text || !strings.Contains(got.Error, tc.want.Error) {
				t.Errorf("answer %+v, want %+v", got, tc.want)
			}
		})
	}
	t.Run("nothing was stored", func(t *testing.T) {
		deployments, err := client.AppsV1().Deployments(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil || len(deployments.Items) > 0 {
			t.Errorf("%d Deployments, error %v", len(deployments.Items), err)
		}
	})
	t.Run("the watch cache counts what is there", func(t *testing.T) {
		got := ask(snapshot.Question{Kind: snapshot.ObjectCount, Resource: "namespaces", Cached: true})
		if n, err := strconv.Atoi(got.Text); err != nil || n < 4 {
			t.Errorf("answer %+v", got)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		got := ask(snapshot.Question{Kind: snapshot.APIServerMetrics})
		for _, family := range []string{"process_start_time_seconds", "etcd_requests_total", "apiserver_flowcontrol_nominal_limit_seats"} {
			if !strings.Contains(got.Text, "\n"+family) {
				t.Errorf("%s is not among %d bytes: %s %s", family, len(got.Text), got.Outcome, got.Error)
			}
		}
		if strings.Contains(got.Text, "go_goroutines") {
			t.Error("a family that no rule reads was kept")
		}
		t.Logf("%d bytes are kept", len(got.Text))
	})
	t.Run("the API server's endpoint is dialed", func(t *testing.T) {
		got := ask(snapshot.Question{Kind: snapshot.Dial, Name: strings.Trim(strings.TrimPrefix(admin.Host, "https://"), "/")})
		if end, err := time.Parse(time.RFC3339, got.Text); err != nil || !end.After(time.Now()) {
			t.Errorf("answer %+v", got)
		}
	})
}
