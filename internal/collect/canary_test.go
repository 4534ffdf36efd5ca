package collect

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

// canary is a secret that must come out nowhere.
const canary = "C4naryBird7Sings0verTheSea"

// shapes are texts in which a secret can stand.
var shapes = map[string]string{
	"a value of a password":          "cannot log in with password=" + canary + " today",
	"a password in YAML":             "db_password: " + canary,
	"a password in JSON":             `{"dbPassword":"` + canary + `"}`,
	"a token in YAML":                "api_token: " + canary,
	"a secret key in an AWS profile": "aws_secret_access_key = " + canary,
	"a secret key in YAML":           "AWS_SECRET_ACCESS_KEY: " + canary,
	"an AWS access key id":           "signing with AKIA" + strings.ToUpper(canary[:16]),
	"a bearer token":                 "Authorization: Bearer " + canary,
	"a bearer token in a sentence":   "sent bearer " + canary + " to the server",
	"basic credentials":              "authorization: Basic " + canary + "==",
	"a password in an address":       "dial postgres://app:" + canary + "@db:5432/shop",
	"a password in MySQL's form":     "app:" + canary + "@tcp(db:3306)/shop",
	"a password in ODBC's form":      "Server=db;Uid=app;Pwd=" + canary + ";",
	"a JSON Web Token":               "token expired: eyJhbGciOiJSUzI1NiJ9.eyJ" + canary + ".sig",
	"a private key":                  "-----BEGIN RSA PRIVATE KEY-----\n" + canary + "\n-----END RSA PRIVATE KEY-----",
	"a private key that is cut off":  "-----BEGIN PRIVATE KEY-----\n" + canary,
	"a GitHub token":                 "cloning with ghp_" + canary,
	"a token in a query":             "GET /hook?token=" + canary + "&x=1",
	"a key in a query":               "Get \"https://api/v1?a=b&key=" + canary + "\": EOF",
	"a short name":                   "DB_PASS=" + canary + " dbPass=" + canary,
	"a short name in JSON":           `{"db_pass":"` + canary + `","pwd":"` + canary + `"}`,
	"a password of several words":    `password="to be ` + canary + `" PASSWORD='or not ` + canary + `'`,
	"several words in YAML":          `password: "to be ` + canary + `"`,
	"a password with a quote":        `{"password":"a\"` + canary + `"}`,
	"a quoted value within JSON":     `{"msg":"connecting with password=\"` + canary + `\" to db"}`,
	"a number in JSON":               `{"password":` + strings.Repeat("9", 8) + `,"token":"` + canary + `"}`,
	"an address with a stray @":      "postgres://app:p@" + canary + "@db:5432/shop",
	"an address with a stray /":      "postgres://app:p/" + canary + "@db:5432/shop",
	"an address with a token alone":  "cloning https://" + canary + "@git.example.com/shop.git",
	"an account key of Azure":        "AccountName=shop;AccountKey=" + canary + "==;EndpointSuffix=core.windows.net",
	"a bearer token in a dump":       "map[Authorization:[Bearer " + canary + "]]",
	"a token in a header":            `"Authorization": "token ` + canary + `"`,
	"a header of a vendor":           "X-Api-Key: " + canary + "\nX-Auth-Token: " + canary,
	"a cookie":                       "Set-Cookie: sid=" + canary + "; Path=/",
	"a flag within a shell command":  "sh -c 'vault login --token " + canary + "'",
	"curl's user":                    "curl -s -u elastic:" + canary + " https://localhost:9200",
	"mysql's password":               "mysqladmin ping -u root -p" + canary,
	"redis's password":               "redis-cli -h db -a " + canary + " ping",
	"a hook of Slack":                "POST https://hooks.slack.com/services/T000/B000/" + canary,
	"a token of GitLab":              "glpat-" + canary,
	"a token of Vault":               "hvs." + canary,
	"hexadecimal digits":             "api_key: 0c4a9e1b77d2" + canary[:6] + "0123456789abcdef",
	"a private key that has no head": canary + canary + "\n" + canary + "=\n-----END EC PRIVATE KEY-----",
	"OpenPGP's private key":          "-----BEGIN PGP PRIVATE KEY BLOCK-----\n" + canary + "\n-----END PGP PRIVATE KEY BLOCK-----",
	"a key in base64":                "client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo" + canary,
}

// texts are the places for free text in objects of every kind; those of pods and workloads are in
// TestNoObjectKeepsACredential.
var texts = map[string]func(text string) snapshot.Object{
	"an Event's message": func(s string) snapshot.Object { return &corev1.Event{Message: s} },
	"a pod's condition": func(s string) snapshot.Object {
		return &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Message: s}}}}
	},
	"a container's argument": func(s string) snapshot.Object {
		return &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Args: []string{s}}}}}
	},
	"a container's last message": func(s string) snapshot.Object {
		return &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: s}}}}}}
	},
	"a volume's mount option": func(s string) snapshot.Object {
		return &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{MountOptions: []string{s}}}
	},
	"a class's mount option": func(s string) snapshot.Object { return &storagev1.StorageClass{MountOptions: []string{s}} },
	"a class's path": func(s string) snapshot.Object {
		return &storagev1.StorageClass{Parameters: map[string]string{"path": s}}
	},
	"a failed attachment": func(s string) snapshot.Object {
		return &storagev1.VolumeAttachment{Status: storagev1.VolumeAttachmentStatus{AttachError: &storagev1.VolumeError{Message: s}}}
	},
	"a request's condition": func(s string) snapshot.Object {
		return &certificatesv1.CertificateSigningRequest{Status: certificatesv1.CertificateSigningRequestStatus{Conditions: []certificatesv1.CertificateSigningRequestCondition{{Message: s}}}}
	},
	"an APIService's condition": func(s string) snapshot.Object {
		return &apiregistrationv1.APIService{Status: apiregistrationv1.APIServiceStatus{Conditions: []apiregistrationv1.APIServiceCondition{{Message: s}}}}
	},
	"a definition's condition": func(s string) snapshot.Object {
		return &apiextensionsv1.CustomResourceDefinition{Status: apiextensionsv1.CustomResourceDefinitionStatus{Conditions: []apiextensionsv1.CustomResourceDefinitionCondition{{Message: s}}}}
	},
	"a FlowSchema's condition": func(s string) snapshot.Object {
		return &flowcontrolv1.FlowSchema{Status: flowcontrolv1.FlowSchemaStatus{Conditions: []flowcontrolv1.FlowSchemaCondition{{Message: s}}}}
	},
	"a priority level's condition": func(s string) snapshot.Object {
		return &flowcontrolv1.PriorityLevelConfiguration{Status: flowcontrolv1.PriorityLevelConfigurationStatus{Conditions: []flowcontrolv1.PriorityLevelConfigurationCondition{{Message: s}}}}
	},
	"an admission policy's warning": func(s string) snapshot.Object {
		return &admissionregistrationv1.ValidatingAdmissionPolicy{Status: admissionregistrationv1.ValidatingAdmissionPolicyStatus{Conditions: []metav1.Condition{{Message: s}}}}
	},
	"an Ingress's port": func(s string) snapshot.Object {
		return &networkingv1.Ingress{Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: []networkingv1.IngressLoadBalancerIngress{{Ports: []networkingv1.IngressPortStatus{{Error: &s}}}}}}}
	},
}

// literals are the places whose values go whatever they are.
var literals = map[string]snapshot.Object{
	"an annotation":                &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"nginx.ingress.kubernetes.io/auth-url": canary}}},
	"a StorageClass's parameter":   &storagev1.StorageClass{Parameters: map[string]string{"restuserkey": canary, "adminId": canary}},
	"an attributes class":          &storagev1.VolumeAttributesClass{Parameters: map[string]string{"key": canary}},
	"a volume's attribute":         &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{VolumeAttributes: map[string]string{"userKey": canary}}}}},
	"a flex volume's option":       &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{FlexVolume: &corev1.FlexPersistentVolumeSource{Options: map[string]string{"key": canary}}}}},
	"a pod's own volume":           &corev1.Pod{Spec: corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{VolumeAttributes: map[string]string{"key": canary}}}}, {VolumeSource: corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{Options: map[string]string{"key": canary}}}}}}},
	"an attachment's metadata":     &storagev1.VolumeAttachment{Status: storagev1.VolumeAttachmentStatus{AttachmentMetadata: map[string]string{"key": canary}}},
	"an attachment's own volume":   &storagev1.VolumeAttachment{Spec: storagev1.VolumeAttachmentSpec{Source: storagev1.VolumeAttachmentSource{InlineVolumeSpec: &corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{VolumeAttributes: map[string]string{"key": canary}}}}}}},
	"a debugging container's env":  &corev1.Pod{Spec: corev1.PodSpec{EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Env: []corev1.EnvVar{{Name: "A", Value: canary}}}}}}},
	"a request for a certificate":  &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{Request: []byte(canary), Extra: map[string]certificatesv1.ExtraValue{"credential": {canary}}}},
	"a probe's query":              &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready?verbose&of=" + canary}}}}}}},
	"a probe's header":             &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{HTTPHeaders: []corev1.HTTPHeader{{Name: "X-Shop", Value: canary}}}}}}}}},
	"a flag over two lists":        &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Command: []string{"api", "--token"}, Args: []string{canary}}}}},
	"curl's user in words":         &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"curl", "-u", "elastic:" + canary}}}}}}}},
	"mysql's password in words":    &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"mysqladmin", "ping", "-p" + canary}}}}}}}},
	"redis's password in words":    &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Command: []string{"/usr/bin/redis-cli"}, Args: []string{"-a", canary}}}}},
	"a pod's repository":           &corev1.Pod{Spec: corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{GitRepo: &corev1.GitRepoVolumeSource{Repository: "https://" + canary + "@git/shop"}}}}}},
	"a claim of a pod's own":       &corev1.Pod{Spec: corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"example.com/copy": canary}}}}}}}}},
	"a reason not to be told":      &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"maek.dev/ignore": "CODE,reason=password=" + canary}}},
	"a webhook's user":             &admissionregistrationv1.ValidatingWebhookConfiguration{Webhooks: []admissionregistrationv1.ValidatingWebhook{{ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: new("https://u:" + canary + "@hook/x?k=" + canary + "#" + canary)}}}},
	"a mutating webhook's user":    &admissionregistrationv1.MutatingWebhookConfiguration{Webhooks: []admissionregistrationv1.MutatingWebhook{{ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: new("https://" + canary + "@hook/x")}}}},
	"a webhook's broken address":   &admissionregistrationv1.MutatingWebhookConfiguration{Webhooks: []admissionregistrationv1.MutatingWebhook{{ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: new("https://%zz" + canary)}}}},
	"a conversion webhook's user":  &apiextensionsv1.CustomResourceDefinition{Spec: apiextensionsv1.CustomResourceDefinitionSpec{Conversion: &apiextensionsv1.CustomResourceConversion{Webhook: &apiextensionsv1.WebhookConversion{ClientConfig: &apiextensionsv1.WebhookClientConfig{URL: new("https://u:" + canary + "@hook")}}}}},
	"a definition's default value": &apiextensionsv1.CustomResourceDefinition{Spec: apiextensionsv1.CustomResourceDefinitionSpec{Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Default: &apiextensionsv1.JSON{Raw: []byte(`"` + canary + `"`)}}}}}}},
}

// sings tells whether the canary, or enough of it to be of use, is in what would be written.
func sings(t *testing.T, v any) bool {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ToLower(string(data))
	return strings.Contains(text, strings.ToLower(canary[:12])) || strings.Contains(text, "qzruyxj5qmly") // base64 of its beginning
}

func TestNoPlaceLetsASecretThrough(t *testing.T) {
	for place, object := range texts {
		for shape, text := range shapes {
			t.Run(place+" with "+shape, func(t *testing.T) {
				o := object(text)
				Clean(o)
				if sings(t, o) {
					t.Errorf("it holds the secret: %v", o)
				}
				once, _ := o.DeepCopyObject().(snapshot.Object)
				Clean(o)
				if diff := cmp.Diff(once, o); diff != "" {
					t.Errorf("cleaning it again changes it (-once +twice):\n%s", diff)
				}
			})
		}
	}
	for place, o := range literals {
		t.Run(place, func(t *testing.T) {
			if !sings(t, o) && !strings.HasPrefix(fmt.Sprintf("%T", o), "*v1.CertificateSigning") {
				t.Fatal("the secret is not planted")
			}
			Clean(o)
			if sings(t, o) {
				t.Errorf("it holds the secret: %v", o)
			}
			once, _ := o.DeepCopyObject().(snapshot.Object)
			Clean(o)
			if diff := cmp.Diff(once, o); diff != "" {
				t.Errorf("cleaning it again changes it (-once +twice):\n%s", diff)
			}
		})
	}
}

func TestNoAnswerLetsASecretThrough(t *testing.T) {
	for shape, text := range shapes {
		quoted, err := json.Marshal(map[string]any{"staticPodPath": text})
		if err != nil {
			t.Fatal(err)
		}
		for kind, text := range map[snapshot.QuestionKind]string{
			snapshot.ContainerLog: "starting\n" + text, snapshot.ConfigMapValue: "x\n" + text, snapshot.KubeletConfig: string(quoted),
			snapshot.CertificateOf: text, snapshot.APIServerMetrics: text, snapshot.AccessReview: text,
		} {
			t.Run(fmt.Sprintf("%s of %s", shape, kind), func(t *testing.T) {
				got := CleanAnswer(snapshot.Question{Kind: kind}, snapshot.Answer{Outcome: snapshot.Answered, Text: text, Error: text})
				if sings(t, got) {
					t.Errorf("it holds the secret: %v", got)
				}
			})
		}
		t.Run(shape+" in a custom resource", func(t *testing.T) {
			r := &snapshot.CustomResource{
				ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"maek.dev/ignore": text}},
				Conditions: []metav1.Condition{{Message: text, Reason: text}},
				Parents:    []snapshot.ParentStatus{{Conditions: []metav1.Condition{{Message: text}}}},
			}
			CleanCustom(r)
			if sings(t, r) {
				t.Errorf("it holds the secret: %v", r)
			}
		})
	}
}

func TestWhereAVolumeLiesStays(t *testing.T) {
	class := &storagev1.StorageClass{Parameters: map[string]string{
		"csi.storage.k8s.io/provisioner-secret-name": "ceph-admin", "type": "gp3", "server": "nfs.example.com", "imageFeatures": "layering",
	}}
	Clean(class)
	want := map[string]string{
		"csi.storage.k8s.io/provisioner-secret-name": "ceph-admin", "type": "gp3", "server": "nfs.example.com", "imageFeatures": fingerprint("layering"),
	}
	if diff := cmp.Diff(want, class.Parameters); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARequestForACertificateStaysWithoutItsPassword(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request := func(attributes ...pkix.AttributeTypeAndValueSET) []byte {
		template := &x509.CertificateRequest{
			Subject:    pkix.Name{CommonName: "system:node:w1"},
			Attributes: attributes,
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	password := pkix.AttributeTypeAndValueSET{
		Type:  asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7},
		Value: [][]pkix.AttributeTypeAndValue{{{Type: asn1.ObjectIdentifier{1, 2, 3}, Value: canary}}},
	}
	plain := request()
	for name, tc := range map[string]struct{ given, want []byte }{
		"a plain one":              {plain, plain},
		"one with words around it": {append([]byte(canary+"\n"), append(plain, canary...)...), plain},
		"one with a password":      {request(password), nil},
		"none":                     {[]byte(canary), nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{Request: tc.given}}
			Clean(o)
			if diff := cmp.Diff(string(tc.want), string(o.Spec.Request)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzRedact(f *testing.F) {
	for _, text := range shapes {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := secret.Redact(text)
		if twice := secret.Redact(once); once != twice {
			t.Errorf("redacting %q again changes %q to %q", text, once, twice)
		}
	})
}
