package bundle

import (
	"path"
	"slices"
	"strings"

	"github.com/maek-dev/maek/internal/snapshot"
)

// role is what a file is for, as its path tells.
type role int

const (
	// roleOther: a file that is read when a question asks for it, or never.
	roleOther role = iota
	roleManifest
	roleMachine
	// roleObjects: Kubernetes objects, at least by its name.
	roleObjects
	// roleErrors: a support bundle's record of what it could not list.
	roleErrors
)

// place is what a file's path tells.
type place struct {
	role role
	// node of a machine's report.
	node string
	// resource is a support bundle's own name for what a file lists: "pvcs".
	resource string
	// supportBundle: the file lies in a support bundle's cluster-resources.
	supportBundle bool
	// namespace that the file is of, where the layout has a file for each.
	namespace string
	// customResources: the file lies in a support bundle's folder of custom resources.
	customResources bool
	// gathered is the namespace of a must-gather's folder that the file lies in.
	gathered string
	// clusterScoped: the file lies in a must-gather's folder of cluster-scoped resources, which holds all
	// objects of a kind, each in a file of its own.
	clusterScoped bool
	// dump: the file lies where cluster-info dump puts the lists of a namespace.
	dump bool
}

// placeOf reads a path. Folders on top do not matter: archives usually have one.
func placeOf(name string) place {
	parts := strings.Split(name, "/")
	base := parts[len(parts)-1]
	parents := parts[:len(parts)-1]
	parent := func(i int) string {
		if i > len(parents) {
			return ""
		}
		return parents[len(parents)-i]
	}
	switch {
	case base == manifestFile:
		return place{role: roleManifest}
	case base == "report.json" && parent(2) == "machines":
		return place{role: roleMachine, node: parent(1)}
	case !holdsObjects(base), slices.Contains(parents, "logs"), strings.HasPrefix(base, "."):
		return place{role: roleOther}
	}
	stem := strings.TrimSuffix(base, path.Ext(base))
	if i := slices.Index(parents, "cluster-resources"); i >= 0 {
		return supportBundlePlace(parents[i+1:], stem)
	}
	p := place{role: roleObjects}
	if slices.Contains(parents, "cluster-scoped-resources") {
		p.clusterScoped = true
		return p
	}
	if i := slices.Index(parents, "namespaces"); i >= 0 && i+2 < len(parents) {
		// As oc adm inspect writes them: namespaces/NAMESPACE/GROUP/RESOURCE.yaml.
		p.gathered = parents[i+1]
		return p
	}
	if len(parents) > 0 && slices.Contains(dumpFiles, stem) {
		p.dump, p.namespace, p.resource = true, parent(1), stem
	}
	return p
}

// supportBundlePlace reads a path below cluster-resources
// (https://troubleshoot.sh/docs/collect/cluster-resources/).
func supportBundlePlace(below []string, stem string) place {
	p := place{role: roleObjects, supportBundle: true}
	if len(below) > 0 && below[0] == "custom-resources" {
		p.customResources = true
		if len(below) > 1 {
			p.namespace = stem
		}
		return p
	}
	if len(below) > 0 && (below[0] == "auth-cani-list" || below[0] == "image-pull-secrets") {
		return place{role: roleOther}
	}
	resource, isError := strings.CutSuffix(stem, "-errors")
	switch {
	case isError && len(below) == 0:
		p.role, p.resource = roleErrors, resource
	case len(below) == 0 && slices.Contains(supportBundleOther, stem):
		p.role = roleOther
	case len(below) == 0:
		p.resource = stem
	default:
		p.resource, p.namespace = below[0], stem
	}
	return p
}

// supportBundleOther are files of a support bundle that hold no objects of kinds that a snapshot has.
var supportBundleOther = []string{"groups", "resources", "auth-cani-list"}

// dumpFiles are the files that cluster-info dump writes for each namespace
// (k8s.io/kubectl/pkg/cmd/clusterinfo, Run).
var dumpFiles = []string{"events", "replication-controllers", "services", "daemonsets", "deployments", "replicasets", "pods"}

// layout gathers what the paths of all files together tell.
type layout struct {
	// dump: it is a cluster-info dump, known by its list of ReplicationControllers, which nobody
	// else writes under that name.
	dump bool
	// dumpNamespaces are the namespaces that the dump has folders of.
	dumpNamespaces map[string]bool
	supportBundle  bool
	// gathered are the namespaces that a must-gather has folders of.
	gathered map[string]bool
}

func (l *layout) saw(p place) {
	l.supportBundle = l.supportBundle || p.supportBundle
	if p.gathered != "" {
		if l.gathered == nil {
			l.gathered = map[string]bool{}
		}
		l.gathered[p.gathered] = true
	}
	if !p.dump {
		return
	}
	l.dump = l.dump || p.resource == "replication-controllers"
	if l.dumpNamespaces == nil {
		l.dumpNamespaces = map[string]bool{}
	}
	l.dumpNamespaces[p.namespace] = true
}

// matters tells whether a gap in a file is worth telling: a support bundle is full of files that
// were never meant as objects.
func (l *layout) matters(file string) bool {
	return !l.supportBundle || inClusterResources(file)
}

func inClusterResources(file string) bool {
	return slices.Contains(strings.Split(file, "/"), "cluster-resources")
}

// kindNamed is the kind that a file's name speaks of: "daemonsets.json", "daemonset.yaml" or
// "daemonsets.apps.json".
func kindNamed(name string) (snapshot.Kind, bool) {
	base := strings.ToLower(path.Base(name))
	stem := strings.TrimSuffix(base, path.Ext(base))
	for gvk := range snapshot.Scheme.AllKnownTypes() {
		if strings.HasSuffix(gvk.Kind, "List") {
			continue
		}
		k, ok := snapshot.KindFor(gvk)
		if ok && (stem == k.Resource || stem == strings.ToLower(k.Kind) || stem == k.GroupResource()) {
			return k, true
		}
	}
	return snapshot.Kind{}, false
}
