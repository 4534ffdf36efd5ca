package snapshot

import "strings"

// Image is a container image reference in its parts.
type Image struct {
	// Registry is the host that serves it, with its port where one is written.
	Registry string
	// Repository with the registry as written, without tag or digest.
	Repository string
	// Tag, or digest where there is one; empty where neither is written.
	Tag string
}

// Name is the last part of the repository, such as "maek-checker".
func (i Image) Name() string { return i.Repository[strings.LastIndexByte(i.Repository, '/')+1:] }

// defaultRegistry is where a reference without a host is pulled from
// (github.com/distribution/reference, defaultDomain).
const defaultRegistry = "docker.io"

// ParseImage takes a reference apart as github.com/distribution/reference does. It does not judge
// whether the reference is valid.
func ParseImage(reference string) Image {
	name, digest, hasDigest := strings.Cut(reference, "@")
	out := Image{Registry: defaultRegistry, Repository: name}
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		out.Repository, out.Tag = name[:i], name[i+1:]
	}
	if hasDigest {
		out.Tag = digest
	}
	if host, _, ok := strings.Cut(out.Repository, "/"); ok &&
		(strings.ContainsAny(host, ".:") || host == "localhost" || strings.ToLower(host) != host) {
		out.Registry = host
	}
	return out
}
