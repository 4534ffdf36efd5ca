package checks

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// maxMentions bounds what one check waits for: a text that names everything explains nothing.
const maxMentions = 50

// named finds objects of a cluster by their names and addresses.
type named struct {
	// inPlace are objects by namespace and name, and cluster-scoped ones and addresses by name alone.
	inPlace map[place][]finding.Subject
	// only is the namespace in which alone a name is found; empty where there are several.
	only map[string]string
	// namespaces are found only where the text says that it means one: their names are words of every day.
	namespaces map[string]bool
}

// place is where a name is looked for.
type place struct{ namespace, name string }

// namedNeeds are the kinds whose objects are looked for in what checks say.
func namedNeeds() []rule.Need {
	return append(rule.Owners(),
		rule.Optional[*corev1.Node](), rule.Optional[*corev1.Pod](), rule.Optional[*corev1.Service](), rule.Optional[*corev1.PersistentVolumeClaim](),
		rule.Optional[*corev1.Namespace](), rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.DaemonSet](), rule.Optional[*appsv1.StatefulSet](),
	)
}

// namedIn indexes the objects of a snapshot, once for all rules.
func namedIn(s *snapshot.Snapshot) *named {
	return snapshot.Derived(s, func() *named {
		n := &named{inPlace: map[place][]finding.Subject{}, only: map[string]string{}, namespaces: map[string]bool{}}
		for _, o := range snapshot.List[*corev1.Node](s) {
			subject := finding.Subject{Kind: "Node", Name: o.Name}
			n.add(subject)
			for _, a := range o.Status.Addresses {
				if a.Address != o.Name {
					n.address(a.Address, subject)
				}
			}
		}
		for _, o := range snapshot.List[*corev1.Pod](s) {
			subject := finding.Subject{Kind: "Pod", Namespace: o.Namespace, Name: o.Name}
			n.add(subject)
			if !o.Spec.HostNetwork && !snapshot.PodDone(o) {
				n.address(o.Status.PodIP, subject)
			}
		}
		for _, o := range snapshot.List[*corev1.Service](s) {
			n.add(snapshot.SubjectOf(o))
			if o.Spec.ClusterIP != corev1.ClusterIPNone {
				n.address(o.Spec.ClusterIP, snapshot.SubjectOf(o))
			}
		}
		addAll[*corev1.PersistentVolumeClaim](n, s)
		addAll[*appsv1.Deployment](n, s)
		addAll[*appsv1.DaemonSet](n, s)
		addAll[*appsv1.StatefulSet](n, s)
		for _, o := range snapshot.List[*corev1.Namespace](s) {
			n.namespaces[o.Name] = true
		}
		return n
	})
}

func addAll[T snapshot.Object](n *named, s *snapshot.Snapshot) {
	for _, o := range snapshot.List[T](s) {
		n.add(snapshot.SubjectOf(o))
	}
}

func (n *named) add(subject finding.Subject) {
	n.inPlace[place{subject.Namespace, subject.Name}] = append(n.inPlace[place{subject.Namespace, subject.Name}], subject)
	if subject.Namespace == "" {
		return
	}
	if ns, known := n.only[subject.Name]; !known {
		n.only[subject.Name] = subject.Namespace
	} else if ns != subject.Namespace {
		n.only[subject.Name] = ""
	}
}

func (n *named) address(text string, subject finding.Subject) {
	if text != "" {
		n.inPlace[place{name: text}] = append(n.inPlace[place{name: text}], subject)
	}
}

// mentions are the objects that a check's own words name.
type mentions struct {
	subjects []finding.Subject
	// node tells that a Node is among them.
	node bool
}

// allMentions are what the checks that fail name, by check.
type allMentions map[*check]mentions

// mentionsOf reads the errors of all checks that fail, once for all rules.
func mentionsOf(s *snapshot.Snapshot) allMentions {
	return snapshot.Derived(s, func() allMentions {
		out := allMentions{}
		for _, c := range checksOf(s).all {
			if c.failing(s.Now()) {
				out[c] = mentioned(s, c)
			}
		}
		return out
	})
}

// mentioned finds what the errors of a check name: whole words that are names or addresses of objects, and
// names of Services as DNS has them. An object of another namespace counts where the text names that
// namespace too, or no other object is called so.
func mentioned(s *snapshot.Snapshot, c *check) mentions {
	n := namedIn(s)
	var m mentions
	seen := map[finding.Subject]bool{}
	put := func(subject finding.Subject) {
		if subject != c.subject && !seen[subject] && len(m.subjects) < maxMentions {
			seen[subject] = true
			m.subjects = append(m.subjects, subject)
			m.node = m.node || subject.Kind == "Node"
		}
	}
	for _, text := range c.errors {
		words := wordsOf(text)
		spoken := n.spoken(c.subject.Namespace, words)
		for i, w := range words {
			if len(m.subjects) == maxMentions {
				break
			}
			if n.namespaces[w.text] && (w.slash || i > 0 && strings.EqualFold(words[i-1].text, "namespace")) {
				put(finding.Subject{Kind: "Namespace", Name: w.text})
			}
			for _, subject := range n.meant(w.text, spoken) {
				put(subject)
				if pod, ok := snapshot.Get[*corev1.Pod](s, subject.Namespace, subject.Name); ok && subject.Kind == "Pod" {
					put(s.Workload(pod))
					if pod.Spec.NodeName != "" {
						put(finding.Subject{Kind: "Node", Name: pod.Spec.NodeName})
					}
				}
			}
		}
	}
	slices.SortFunc(m.subjects, finding.CompareSubjects)
	return m
}

// maxSpoken bounds the namespaces in which the words of one text are looked up.
const maxSpoken = 10

// spoken are the namespaces that a text speaks of: the check's own, and those that it names.
func (n *named) spoken(own string, words []word) []string {
	out := []string{own}
	for _, w := range words {
		if n.namespaces[w.text] && len(out) < maxSpoken && !slices.Contains(out, w.text) {
			out = append(out, w.text)
		}
	}
	return out
}

// meant are the objects that a word means in a text that speaks of some namespaces.
func (n *named) meant(word string, spoken []string) []finding.Subject {
	out := slices.Clone(n.inPlace[place{name: word}])
	for _, ns := range spoken {
		out = append(out, n.inPlace[place{ns, word}]...)
	}
	if len(out) > 0 {
		return out
	}
	if ns := n.only[word]; ns != "" {
		return n.inPlace[place{ns, word}]
	}
	// NAME.NAMESPACE.svc, with the cluster's domain behind it or not.
	parts := strings.Split(word, ".")
	if len(parts) < 3 || parts[2] != "svc" {
		return nil
	}
	service := finding.Subject{Kind: "Service", Namespace: parts[1], Name: parts[0]}
	if slices.Contains(n.inPlace[place{parts[1], parts[0]}], service) {
		return []finding.Subject{service}
	}
	return nil
}

// word is a part of a text that may be a name.
type word struct {
	text string
	// slash tells that a slash follows it, as one follows a namespace.
	slash bool
}

// wordsOf splits a text at whatever cannot be in the name of an object.
func wordsOf(text string) []word {
	var out []word
	start := -1
	end := func(at int) {
		if start >= 0 {
			if w := strings.Trim(text[start:at], ".-"); w != "" {
				out = append(out, word{text: w, slash: at < len(text) && text[at] == '/'})
			}
			start = -1
		}
	}
	for i := range len(text) {
		if inName(text[i]) {
			if start < 0 {
				start = i
			}
			continue
		}
		end(i)
	}
	end(len(text))
	return out
}

// inName tells whether a byte can be in a name, or in a word that must not be taken for one.
func inName(b byte) bool {
	return 'a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '-' || b == '.' || 'A' <= b && b <= 'Z' || b == '_'
}
