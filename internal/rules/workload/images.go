package workload

import "strings"

// image is a container image reference in its parts.
type image struct {
	// registry is the host that serves it, with its port where one is written.
	registry string
	// repository with the registry as written, without tag or digest.
	repository string
	// tag, or digest where there is one; empty where neither is written.
	tag string
}

// defaultRegistry is where a reference without a host is pulled from
// (github.com/distribution/reference, defaultDomain, and containerd's host for it).
const defaultRegistry = "docker.io"

// parseImage takes a reference apart as github.com/distribution/reference does. It does not judge
// whether the reference is valid.
func parseImage(reference string) image {
	name, digest, hasDigest := strings.Cut(reference, "@")
	var out image
	out.repository = name
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		out.repository, out.tag = name[:i], name[i+1:]
	}
	if hasDigest {
		out.tag = digest
	}
	out.registry = defaultRegistry
	if host, _, ok := strings.Cut(out.repository, "/"); ok &&
		(strings.ContainsAny(host, ".:") || host == "localhost" || strings.ToLower(host) != host) {
		out.registry = host
	}
	return out
}
