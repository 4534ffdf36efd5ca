package target

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// materials are what a check brings beside its question.
type materials struct {
	// authorization is the value of the header; "" for none.
	authorization string
	// pool are the trusted authorities, and roots the same in PEM; nil for the system's.
	pool  *x509.CertPool
	roots []byte
	// certificate is the client's; nil for none.
	certificate *tls.Certificate
}

// authorities are a bundle of trusted certificates.
type authorities struct {
	pool *x509.CertPool
	pem  []byte
}

func (r *Resolver) materials(ctx context.Context, check *v1alpha1.Check) (materials, error) {
	var have materials
	var err error
	spec := &check.Spec
	if spec.Auth != nil {
		if have.authorization, err = r.authorization(ctx, check.Namespace, spec.Auth); err != nil {
			return have, err
		}
	}
	bundle := (*corev1.ConfigMapKeySelector)(nil)
	switch {
	case spec.TLS != nil:
		bundle = spec.TLS.CABundle
	case spec.TLSConfig != nil:
		bundle = spec.TLSConfig.CABundle
		if reference := spec.TLSConfig.ClientCertificate; reference != nil {
			name := types.NamespacedName{Namespace: check.Namespace, Name: reference.Name}
			have.certificate, err = remember(ctx, &r.read, "certificate/"+name.String(), func(ctx context.Context) (*tls.Certificate, error) {
				return r.clientCertificate(ctx, name)
			})
			if err != nil {
				return have, err
			}
		}
	}
	if bundle == nil {
		return have, nil
	}
	name := types.NamespacedName{Namespace: check.Namespace, Name: bundle.Name}
	read, err := remember(ctx, &r.read, "bundle/"+name.String()+"/"+bundle.Key, func(ctx context.Context) (authorities, error) {
		return r.authorities(ctx, name, bundle.Key)
	})
	if optional(bundle.Optional, err) {
		return have, nil
	}
	have.pool, have.roots = read.pool, read.pem
	return have, err
}

// optional tells whether an error says that something is missing which may be.
func optional(may *bool, err error) bool {
	refusal, ok := err.(*plan.Refusal) //nolint:errorlint // these are made here
	return ok && may != nil && *may && (refusal.Reason == v1alpha1.ReasonConfigMapNotFound || refusal.Reason == v1alpha1.ReasonSecretNotFound)
}

func (r *Resolver) authorization(ctx context.Context, namespace string, auth *v1alpha1.CheckAuth) (string, error) {
	if auth.Basic != nil {
		name := types.NamespacedName{Namespace: namespace, Name: auth.Basic.Name}
		return remember(ctx, &r.read, "basic/"+name.String(), func(ctx context.Context) (string, error) { return r.basic(ctx, name) })
	}
	if auth.BearerToken == nil {
		return "", nil
	}
	name, key := types.NamespacedName{Namespace: namespace, Name: auth.BearerToken.Name}, auth.BearerToken.Key
	value, err := remember(ctx, &r.read, "bearer/"+name.String()+"/"+key, func(ctx context.Context) (string, error) { return r.bearer(ctx, name, key) })
	if optional(auth.BearerToken.Optional, err) {
		return "", nil
	}
	return value, err
}

func (r *Resolver) basic(ctx context.Context, name types.NamespacedName) (string, error) {
	secret, err := r.secret(ctx, name)
	if err != nil {
		return "", err
	}
	if secret.Type != corev1.SecretTypeBasicAuth {
		return "", plan.Refuse(v1alpha1.ReasonSecretInvalid, "Secret %s is of type %s; auth.basic wants one of type %s", name, secret.Type, corev1.SecretTypeBasicAuth)
	}
	user, password := secret.Data[corev1.BasicAuthUsernameKey], secret.Data[corev1.BasicAuthPasswordKey]
	return "Basic " + base64.StdEncoding.EncodeToString(slices.Concat(user, []byte(":"), password)), nil
}

func (r *Resolver) bearer(ctx context.Context, name types.NamespacedName, key string) (string, error) {
	secret, err := r.secret(ctx, name)
	if err != nil {
		return "", err
	}
	data, found := secret.Data[key]
	if !found {
		return "", plan.Refuse(v1alpha1.ReasonSecretNotFound, "Secret %s has no key %s; its keys are %s", name, key, keysOf(secret.Data))
	}
	// Files end with a line end, and so do the Secrets that are made from them.
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return "", plan.Refuse(v1alpha1.ReasonSecretInvalid, "key %s of Secret %s is no token: it is empty, or has characters that a header cannot", key, name)
	}
	return "Bearer " + token, nil
}

func (r *Resolver) clientCertificate(ctx context.Context, name types.NamespacedName) (*tls.Certificate, error) {
	secret, err := r.secret(ctx, name)
	if err != nil {
		return nil, err
	}
	if secret.Type != corev1.SecretTypeTLS {
		return nil, plan.Refuse(v1alpha1.ReasonSecretInvalid, "Secret %s is of type %s; tlsConfig.clientCertificate wants one of type %s", name, secret.Type, corev1.SecretTypeTLS)
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, plan.Refuse(v1alpha1.ReasonSecretInvalid, "Secret %s holds no certificate with its key: %v", name, err)
	}
	return &pair, nil
}

func (r *Resolver) authorities(ctx context.Context, name types.NamespacedName, key string) (authorities, error) {
	object, err := r.o.ConfigMap(ctx, name)
	switch {
	case apierrors.IsNotFound(err):
		return authorities{}, plan.Refuse(v1alpha1.ReasonConfigMapNotFound, "there is no ConfigMap %s with the trusted authorities", name)
	case apierrors.IsForbidden(err):
		return authorities{}, plan.Refuse(v1alpha1.ReasonConfigMapForbidden, "ConfigMap %s may not be read; grant that in its namespace: %s", name, r.grant("maek-check-secrets", name.Namespace))
	case err != nil:
		return authorities{}, reading("ConfigMap", name.String(), err)
	}
	text, found := object.Data[key]
	if binary, ok := object.BinaryData[key]; ok && !found {
		text, found = string(binary), true
	}
	if !found {
		keys := append(slices.Collect(maps.Keys(object.Data)), slices.Collect(maps.Keys(object.BinaryData))...)
		slices.Sort(keys)
		return authorities{}, plan.Refuse(v1alpha1.ReasonConfigMapNotFound, "ConfigMap %s has no key %s; its keys are %s", name, key, strings.Join(keys, ", "))
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(text)) {
		return authorities{}, plan.Refuse(v1alpha1.ReasonConfigMapInvalid, "key %s of ConfigMap %s holds no certificates in PEM", key, name)
	}
	return authorities{pool: pool, pem: []byte(text)}, nil
}

// secret reads a Secret, or says what to do about it.
func (r *Resolver) secret(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	secret, err := r.o.Secret(ctx, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, plan.Refuse(v1alpha1.ReasonSecretNotFound, "there is no Secret %s", name)
	case apierrors.IsForbidden(err):
		return nil, plan.Refuse(v1alpha1.ReasonSecretsForbidden, "Secret %s may not be read; grant that in its namespace: %s", name, r.grant("maek-check-secrets", name.Namespace))
	case err != nil:
		return nil, reading("Secret", name.String(), err)
	}
	return secret, nil
}

func keysOf(data map[string][]byte) string {
	if len(data) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(data)), ", ")
}

// grant is the command that gives the operator a right in a namespace.
func (r *Resolver) grant(role, namespace string) string {
	return fmt.Sprintf("kubectl create rolebinding %s --clusterrole=%s --serviceaccount=%s:%s -n %s",
		role, role, r.o.ServiceAccount.Namespace, r.o.ServiceAccount.Name, namespace)
}
