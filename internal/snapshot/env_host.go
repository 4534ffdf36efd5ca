package snapshot

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

var (
	// hostVariables are the last words of the names of variables that hold the address of somebody to
	// call, and urlVariables of those that hold it within a URL.
	hostVariables = map[string]bool{
		"HOST": true, "HOSTNAME": true, "ADDR": true, "ADDRESS": true, "ENDPOINT": true, "SERVICE": true, "SERVER": true, "SERVERS": true,
	}
	urlVariables = map[string]bool{
		"URL": true, "URI": true, "DSN": true, "ENDPOINT": true, "ADDR": true, "ADDRESS": true, "SERVER": true, "HOST": true, "SERVICE": true,
	}
	// secretVariables are words in the names of variables whose values are not looked at.
	secretVariables = regexp.MustCompile(`(?i)PASS|PWD|TOKEN|SECRET|CREDENTIAL|PRIVATE|SIGNATURE|COOKIE|SESSION|SALT|(?:^|_)(?:KEY|AUTH|PIN|CERT)(?:_|$)`)
	// dnsLabel is one label of a DNS name (RFC 1123).
	dnsLabel = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
	// withinParentheses is the address in a data source name of Go's MySQL driver
	// (https://github.com/go-sql-driver/mysql#dsn-data-source-name).
	withinParentheses = regexp.MustCompile(`@(?:tcp|tcp6)\(([^()@/\s]+)\)(?:/[^@]*)?$`)
)

// addressPrefix marks a kept value as an address, so that trimming again keeps it.
const addressPrefix = "//"

// trimEnvValue reduces a literal value to the address of a Service that it may name, as "//host:port"
// or "//host"; empty where it is not sure to hold nothing else. Programs keep passwords in URLs, and
// people put them into any variable, so the variable must be one for addresses, user information, path
// and query are dropped, and what is left must look like the name of a Service: one or two labels, or
// more that end in the cluster's own domain. A value without a scheme counts only where the name asks
// for a host, and one with a second "@" after the host, which stands for a mistyped password, does not.
func trimEnvValue(name, value string) string {
	// Most variables end here, and a large cluster has millions of them.
	word := strings.ToUpper(name[strings.LastIndexByte(name, '_')+1:])
	holdsHost, holdsURL := hostVariables[word], urlVariables[word]
	if !holdsHost && !holdsURL || secretVariables.MatchString(name) {
		return ""
	}
	value = strings.TrimPrefix(value, "jdbc:")
	var address string
	switch {
	case strings.HasPrefix(value, addressPrefix):
		address = value[len(addressPrefix):]
	case strings.Contains(value, "://") && holdsURL:
		address = authority(value)
	case holdsURL && withinParentheses.MatchString(value):
		address = withinParentheses.FindStringSubmatch(value)[1]
	case holdsHost:
		address = value
	}
	if !serviceAddress(address) {
		return ""
	}
	return addressPrefix + address
}

// authority is the host and port of a URL; empty where that cannot be told from a password.
func authority(value string) string {
	_, rest, _ := strings.Cut(value, "://")
	end := strings.IndexAny(rest, "/?#")
	if end >= 0 && strings.Contains(rest[end:], "@") {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil {
		return ""
	}
	return u.Host
}

// serviceAddress tells whether an address is a name that a Service may have, with a port or without.
func serviceAddress(address string) bool {
	host := address
	if h, port, err := net.SplitHostPort(address); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
		host = h
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(labels) > 2 && !strings.HasSuffix(host, ".svc") && !strings.Contains(host, ".svc.") {
		return false
	}
	for _, l := range labels {
		if !dnsLabel.MatchString(l) {
			return false
		}
	}
	return true
}

// EnvHost is the host that an environment variable of a pod in a snapshot names; false where it
// names none (see Trim).
func EnvHost(e corev1.EnvVar) (string, bool) {
	address, ok := strings.CutPrefix(e.Value, addressPrefix)
	if !ok {
		return "", false
	}
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host, true
	}
	return address, true
}
