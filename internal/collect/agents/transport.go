package agents

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/maek-dev/maek/internal/monitor"
)

// dialer opens a connection to an agent.
type dialer func(ctx context.Context, a Agent) (net.Conn, error)

// clientFor makes a client of one agent. It shows the kubeconfig's client certificate, of which nobody
// learns the key, or else a token that is good for asking agents and for nothing else. The kubeconfig's
// own token is not shown: an agent is no more to be trusted than the machine that it runs on, and whoever
// took one over would have the token of every administrator who asks. Nothing is sent before the agent has
// proven its key. Connections end with ctx. The token is that of account.
func clientFor(ctx context.Context, cfg *rest.Config, a Agent, dial dialer, account string) (*http.Client, error) {
	settings, err := cfg.TransportConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig's credentials: %w", err)
	}
	secure, err := transport.TLSConfigFor(settings)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig's client certificate: %w", err)
	}
	if secure == nil {
		secure = &tls.Config{}
	}
	shown := through(ctx, secure, a, dial)
	// A certificate beside a token may be for a proxy before the cluster.
	certificateAlone := settings.HasCertAuth() && !settings.HasTokenAuth() && cfg.ExecProvider == nil
	if !certificateAlone && a.namespace != "" {
		token, err := narrowToken(ctx, cfg, a.namespace, account)
		switch {
		case err == nil:
			return bearing(token, shown), nil
		case settings.HasCertAuth() || settings.HasCertCallback() || !settings.HasTokenAuth():
			// A certificate, which a plugin may have too, can do without; who has nothing is told so by the agent.
		default:
			return nil, err
		}
	}
	return only(shown), nil
}

// through is a transport to one agent, with what secure shows of the caller.
func through(ctx context.Context, secure *tls.Config, a Agent, dial dialer) http.RoundTripper {
	pin(secure, a.Key)
	return &http.Transport{
		// The transport's own context ends once the connection is there.
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
			raw, err := dial(ctx, a)
			if err != nil {
				return nil, err
			}
			conn := tls.Client(raw, secure)
			if err := conn.HandshakeContext(ctx); err != nil {
				_ = raw.Close()
				return nil, err
			}
			return conn, nil
		},
		DisableKeepAlives: true,
	}
}

// pin makes a configuration accept one key and nothing else: names, addresses and authorities are the API
// server's; of an agent only the key is known.
func pin(secure *tls.Config, key string) {
	secure.ServerName, secure.RootCAs, secure.NextProtos = "", nil, nil
	secure.MinVersion = tls.VersionTLS13
	secure.InsecureSkipVerify = true
	secure.VerifyConnection = func(state tls.ConnectionState) error { return proven(state, key) }
}

// bearing is a client that shows a token.
func bearing(token string, to http.RoundTripper) *http.Client {
	return only(transport.NewBearerAuthRoundTripper(token, to))
}

// only is a client that goes nowhere else.
func only(to http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     to,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// tokenSeconds is how long a token lasts: the least that the API server gives
// (kubernetes/pkg/apis/authentication/validation/validation.go).
const tokenSeconds = 600

// narrowToken is one of an account with which agents can be asked, and nothing else.
func narrowToken(ctx context.Context, cfg *rest.Config, namespace, account string) (string, error) {
	client, err := coreClient(cfg)
	if err != nil {
		return "", fmt.Errorf("reading the kubeconfig's credentials: %w", err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{monitor.Audience}, ExpirationSeconds: new(int64(tokenSeconds)),
	}}
	given := &authenticationv1.TokenRequest{}
	err = client.Post().Namespace(namespace).Resource("serviceaccounts").Name(account).SubResource("token").Body(request).Do(ctx).Into(given)
	switch {
	case apierrors.IsForbidden(err):
		return "", fmt.Errorf("%w (forbidden: needs a client certificate, or create on serviceaccounts/token of %s in namespace %s)", errNoToken, account, namespace)
	case err != nil:
		return "", fmt.Errorf("getting a token for agents: %w", err)
	default:
		return given.Status.Token, nil
	}
}

// coreClient makes a client that can ask for tokens. The typed clients of client-go bring every group of the
// API and its schemas along, a quarter of the memory of a program that needs one request of them.
func coreClient(cfg *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := authenticationv1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	// Failures are told as a Status.
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	own := rest.CopyConfig(cfg)
	own.APIPath, own.GroupVersion = "/api", &corev1.SchemeGroupVersion
	own.ContentType, own.AcceptContentTypes = runtime.ContentTypeJSON, ""
	own.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	return rest.RESTClientFor(own)
}

// errNoToken is the error of a user who has nothing to show to agents.
var errNoToken = errors.New("there is no token for agents")

// errOtherKey is the error of an agent that has another key than its Node says.
var errOtherKey = errors.New("whoever answers has another key than the Node names for its agent")

// proven checks that the other side holds the key that was named.
func proven(state tls.ConnectionState, key string) error {
	if len(state.PeerCertificates) == 0 {
		return errOtherKey
	}
	if sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo); "sha256:"+hex.EncodeToString(sum[:]) != key {
		return errOtherKey
	}
	return nil
}
