package source

import (
	"k8s.io/client-go/tools/clientcmd"

	"github.com/maek-dev/maek/internal/cli/exit"
)

// ObjectNamespace is the namespace in which kubectl would look for an object that is named without one: that
// of -n, else that of the kubeconfig's context, else "default".
func (c *Connection) ObjectNamespace() (string, error) {
	if c.AllNamespaces {
		return "", exit.Misused("-A does not go with the name of one object; write -n NAMESPACE instead")
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.Kubeconfig
	namespace, _, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &c.Overrides).Namespace()
	if err != nil {
		return "", unreadable(err)
	}
	return namespace, nil
}
