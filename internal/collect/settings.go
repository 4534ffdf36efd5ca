package collect

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"regexp"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

// cleanSettings takes credentials out of what people and drivers configure in objects other than pods:
// parameters of volume drivers, addresses of webhooks, requests for certificates.
func cleanSettings(o snapshot.Object) {
	switch o := o.(type) {
	case *corev1.PersistentVolume:
		cleanVolume(&o.Spec)
	case *storagev1.StorageClass:
		cleanParameters(o.Parameters)
		redactAll(o.MountOptions)
	case *storagev1.VolumeAttributesClass:
		cleanParameters(o.Parameters)
	case *storagev1.VolumeAttachment:
		cleanParameters(o.Status.AttachmentMetadata)
		if o.Spec.Source.InlineVolumeSpec != nil {
			cleanVolume(o.Spec.Source.InlineVolumeSpec)
		}
	case *admissionregistrationv1.ValidatingWebhookConfiguration:
		for i := range o.Webhooks {
			cleanAddress(o.Webhooks[i].ClientConfig.URL)
		}
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		for i := range o.Webhooks {
			cleanAddress(o.Webhooks[i].ClientConfig.URL)
		}
	case *apiextensionsv1.CustomResourceDefinition:
		if c := o.Spec.Conversion; c != nil && c.Webhook != nil && c.Webhook.ClientConfig != nil {
			cleanAddress(c.Webhook.ClientConfig.URL)
		}
	case *certificatesv1.CertificateSigningRequest:
		o.Spec.Request = cleanRequest(o.Spec.Request)
		// Extra is what the authenticator knows of the user's credential.
		o.Spec.Extra = nil
	}
}

// challengePassword is the object identifier, in DER, of the attribute in which a request for a
// certificate may carry a password (RFC 2985, 5.4.1).
var challengePassword = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07}

// cleanRequest keeps a request for a certificate, which names who is to be certified, without what may
// stand around it. One that carries a password, or is none, is dropped.
func cleanRequest(request []byte) []byte {
	block, _ := pem.Decode(request)
	if block == nil || bytes.Contains(block.Bytes, challengePassword) {
		return nil
	}
	if _, err := x509.ParseCertificateRequest(block.Bytes); err != nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
}

func cleanVolume(spec *corev1.PersistentVolumeSpec) {
	redactAll(spec.MountOptions)
	if spec.CSI != nil {
		redact(&spec.CSI.VolumeHandle)
		cleanParameters(spec.CSI.VolumeAttributes)
	}
	if spec.FlexVolume != nil {
		cleanParameters(spec.FlexVolume.Options)
	}
}

// cleanPodVolumes cleans what a pod hands to volume drivers itself.
func cleanPodVolumes(volumes []corev1.Volume) {
	for _, v := range volumes {
		if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
			// Nothing reads them.
			v.Ephemeral.VolumeClaimTemplate.Annotations = nil
		}
		if v.GitRepo != nil {
			cleanAddress(&v.GitRepo.Repository)
		}
		if v.CSI != nil {
			cleanParameters(v.CSI.VolumeAttributes)
		}
		if v.FlexVolume != nil {
			cleanParameters(v.FlexVolume.Options)
		}
	}
}

// cleanParameters makes fingerprints of a volume driver's parameters, under whose names anything may
// stand, but for those that are known to say where a volume lies or which Secret is used.
func cleanParameters(parameters map[string]string) {
	for key, value := range parameters {
		if plainParameter.MatchString(key) {
			parameters[key] = secret.Redact(value)
		} else {
			parameters[key] = fingerprint(value)
		}
	}
}

// plainParameter are parameters that hold no credential: names and namespaces of Secrets
// (https://kubernetes-csi.github.io/docs/secrets-and-credentials-storage-class.html), what the sidecars
// and Kubernetes itself write, and where the common drivers keep a volume.
var plainParameter = regexp.MustCompile(`(?i)^(csi\.storage\.k8s\.io/.*|storage\.kubernetes\.io/.*|.*/fstype|fstype|type|server|share|subdir|path|volumepath|clusterid|pool|datapool|imagename|fsname|replicas|numberofreplicas|secretname|secretnamespace|adminsecretname|adminsecretnamespace|usersecretname)$`)

// cleanAddress takes the user, the query and the fragment out of a URL: where it leads stays.
func cleanAddress(address *string) {
	if address == nil {
		return
	}
	u, err := url.Parse(*address)
	if err != nil {
		*address = secret.Blot
		return
	}
	u.User, u.RawQuery, u.Fragment, u.RawFragment = nil, "", "", ""
	*address = secret.Redact(u.String())
}

// CleanCustom redacts what people and controllers say about a custom resource.
func CleanCustom(r *snapshot.CustomResource) {
	redact(&r.Phase)
	cleanAnnotations(r.Annotations)
	cleanConditions(r.Conditions)
	for i := range r.Parents {
		cleanConditions(r.Parents[i].Conditions)
	}
}
