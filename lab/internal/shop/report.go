package shop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// accountDir is where the kubelet puts a pod's ServiceAccount token
// (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
const accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// runReport logs one line about the shop: what was ordered, and how many of its
// pods run, for which it asks the API server as its ServiceAccount.
func runReport(ctx context.Context, env Environment, logger *slog.Logger) error {
	api, err := newDependency(env, "api", "API_URL", logger)
	if err != nil {
		return err
	}
	answer, err := api.call(ctx, http.MethodGet, "/catalogue", "")
	if err != nil {
		return err
	}
	var shop struct {
		Orders map[string]int `json:"orders"`
	}
	if err := json.Unmarshal(answer, &shop); err != nil {
		return fmt.Errorf("reading the answer of api: %w", err)
	}
	pods, err := countPods(ctx, env)
	if err != nil {
		return fmt.Errorf("counting pods: %w", err)
	}
	logger.Info("report", "orders", shop.Orders, "pods", pods)
	return nil
}

// countPods returns how many pods of its own namespace are in each phase.
func countPods(ctx context.Context, env Environment) (map[string]int, error) {
	account := env.withDefault("ACCOUNT", accountDir)
	host, err := env.required("KUBERNETES_SERVICE_HOST")
	if err != nil {
		return nil, err
	}
	port, err := env.required("KUBERNETES_SERVICE_PORT")
	if err != nil {
		return nil, err
	}
	token, tokenErr := os.ReadFile(filepath.Join(account, "token"))
	namespace, namespaceErr := os.ReadFile(filepath.Join(account, "namespace"))
	authority, authorityErr := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err := errors.Join(tokenErr, namespaceErr, authorityErr); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, errors.New("the ServiceAccount's ca.crt has no certificate")
	}
	address := "https://" + net.JoinHostPort(host, port) + "/api/v1/namespaces/" + strings.TrimSpace(string(namespace)) + "/pods"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	client := &http.Client{
		Timeout:   requestTimeout,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	var list struct {
		// Message is there when the answer is a Status, which tells what is wrong.
		Message string `json:"message"`
		Items   []struct {
			Status struct {
				Phase string `json:"phase"`
			} `json:"status"`
		} `json:"items"`
	}
	decodeErr := json.NewDecoder(io.LimitReader(response.Body, maxList)).Decode(&list)
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, list.Message)
	}
	if decodeErr != nil {
		return nil, fmt.Errorf("reading the list of pods: %w", decodeErr)
	}
	phases := map[string]int{}
	for _, pod := range list.Items {
		phases[pod.Status.Phase]++
	}
	return phases, nil
}

// maxList bounds what is read of a list of pods, in bytes.
const maxList = 16 << 20
