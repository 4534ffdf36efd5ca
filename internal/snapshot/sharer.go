package snapshot

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Sharer lets objects that are equal in part hold one copy of that part: the pods of one ReplicaSet
// differ in their name and status and hardly in their spec, which is most of what a snapshot holds.
// Objects must be trimmed before they are shared, and never be written to after. It is not safe for
// concurrent use; its memory is that of one spec an owner.
type Sharer struct {
	specs   map[types.UID]*sharedPod
	strings map[string]string
	// pointers are to such strings.
	pointers map[string]*string
	sizes    map[string]corev1.ResourceRequirements
	buffer   []byte
}

// sharedPod is what the pods of an owner have in common.
type sharedPod struct {
	encoded []byte
	pod     *corev1.Pod
}

// NewSharer makes a sharer for the objects of one list.
func NewSharer() *Sharer {
	return &Sharer{specs: map[types.UID]*sharedPod{}, strings: map[string]string{}, pointers: map[string]*string{}, sizes: map[string]corev1.ResourceRequirements{}}
}

// Share replaces parts of an object by equal parts of objects that were shared before.
func (s *Sharer) Share(o Object) {
	switch o := o.(type) {
	case *corev1.Pod:
		s.pod(o)
	case *discoveryv1.EndpointSlice:
		for i := range o.Endpoints {
			s.endpoint(&o.Endpoints[i])
		}
	case *appsv1.Deployment:
		s.template(&o.ObjectMeta, o.Spec.Selector, &o.Spec.Template)
	case *appsv1.ReplicaSet:
		s.template(&o.ObjectMeta, o.Spec.Selector, &o.Spec.Template)
	}
}

func (s *Sharer) pod(p *corev1.Pod) {
	for i := range p.Status.ContainerStatuses {
		s.status(&p.Status.ContainerStatuses[i])
	}
	for i := range p.Status.InitContainerStatuses {
		s.status(&p.Status.InitContainerStatuses[i])
	}
	for i := range p.Status.Conditions {
		c := &p.Status.Conditions[i]
		c.Type, c.Status = corev1.PodConditionType(s.one(string(c.Type))), corev1.ConditionStatus(s.one(string(c.Status)))
		c.Reason, c.Message = s.one(c.Reason), s.one(c.Message)
	}
	p.Namespace, p.GenerateName, p.Spec.NodeName, p.Status.HostIP = s.one(p.Namespace), s.one(p.GenerateName), s.one(p.Spec.NodeName), s.one(p.Status.HostIP)
	p.Status.Phase, p.Status.QOSClass = corev1.PodPhase(s.one(string(p.Status.Phase))), corev1.PodQOSClass(s.one(string(p.Status.QOSClass)))
	p.Status.HostIPs = nil
	if len(p.Status.PodIPs) > 0 && p.Status.PodIPs[0].IP == p.Status.PodIP {
		p.Status.PodIPs[0].IP = p.Status.PodIP
	}
	s.spec(p)
}

// endpoint shares what an endpoint has in common with all others, which is all but its pod.
func (s *Sharer) endpoint(e *discoveryv1.Endpoint) {
	if t := e.TargetRef; t != nil {
		t.Kind, t.Namespace, t.APIVersion = s.one(t.Kind), s.one(t.Namespace), s.one(t.APIVersion)
	}
	e.NodeName, e.Zone = s.text(e.NodeName), s.text(e.Zone)
	e.Conditions.Ready, e.Conditions.Serving, e.Conditions.Terminating = flag(e.Conditions.Ready), flag(e.Conditions.Serving), flag(e.Conditions.Terminating)
}

// text returns the one pointer to a string that stands for all to an equal one.
func (s *Sharer) text(p *string) *string {
	if p == nil {
		return nil
	}
	known, ok := s.pointers[*p]
	if !ok {
		known = new(s.one(*p))
		s.pointers[*known] = known
	}
	return known
}

var yes, no = new(true), new(false)

// flag returns the pointer that stands for all to an equal value.
func flag(p *bool) *bool {
	switch {
	case p == nil:
		return nil
	case *p:
		return yes
	default:
		return no
	}
}

// template shares what a pod template has in common with others: the labels, which its controller mostly
// carries too and selects by, and the strings and resources of its containers.
func (s *Sharer) template(of *metav1.ObjectMeta, selector *metav1.LabelSelector, t *corev1.PodTemplateSpec) {
	if maps.Equal(t.Labels, of.Labels) {
		t.Labels = of.Labels
	}
	if selector != nil && maps.Equal(selector.MatchLabels, t.Labels) {
		selector.MatchLabels = t.Labels
	}
	for _, containers := range [][]corev1.Container{t.Spec.InitContainers, t.Spec.Containers} {
		for i := range containers {
			c := &containers[i]
			s.resources(c)
			c.Name, c.Image, c.TerminationMessagePath = s.one(c.Name), s.one(c.Image), s.one(c.TerminationMessagePath)
			c.ImagePullPolicy = corev1.PullPolicy(s.one(string(c.ImagePullPolicy)))
			c.TerminationMessagePolicy = corev1.TerminationMessagePolicy(s.one(string(c.TerminationMessagePolicy)))
			for j := range c.Env {
				c.Env[j].Name, c.Env[j].Value = s.one(c.Env[j].Name), s.one(c.Env[j].Value)
			}
		}
	}
}

// status shares the strings of a container's status, which are those of its image and its name.
func (s *Sharer) status(c *corev1.ContainerStatus) {
	c.Name, c.Image, c.ImageID, c.Started = s.one(c.Name), s.one(c.Image), s.one(c.ImageID), flag(c.Started)
	if w := c.State.Waiting; w != nil {
		w.Reason = s.one(w.Reason)
	}
}

// spec shares the spec, labels and owners of a pod with another of its owner, if they are equal.
func (s *Sharer) spec(p *corev1.Pod) {
	if len(p.OwnerReferences) != 1 || p.OwnerReferences[0].UID == "" {
		return
	}
	owner := p.OwnerReferences[0].UID
	encoded, ok := s.encode(&p.Spec)
	if !ok {
		return
	}
	first, known := s.specs[owner]
	if !known {
		for i := range p.Spec.Containers {
			s.resources(&p.Spec.Containers[i])
		}
		s.specs[owner] = &sharedPod{encoded: slices.Clone(encoded), pod: p}
		return
	}
	if bytes.Equal(first.encoded, encoded) {
		node, host := p.Spec.NodeName, p.Spec.Hostname
		p.Spec = first.pod.Spec
		p.Spec.NodeName, p.Spec.Hostname = node, host
	}
	if maps.Equal(p.Labels, first.pod.Labels) {
		p.Labels = first.pod.Labels
	}
	if a, b := p.OwnerReferences[0], first.pod.OwnerReferences[0]; a.Name == b.Name && a.Kind == b.Kind && a.APIVersion == b.APIVersion {
		p.OwnerReferences = first.pod.OwnerReferences
	}
}

// encode writes a spec, without what is a pod's own, into a buffer that the next call overwrites. Two
// specs are equal if their encodings are.
func (s *Sharer) encode(spec *corev1.PodSpec) ([]byte, bool) {
	common := *spec
	common.NodeName, common.Hostname = "", ""
	size := common.Size()
	if cap(s.buffer) < size {
		s.buffer = make([]byte, size*2)
	}
	n, err := common.MarshalToSizedBuffer(s.buffer[:size])
	return s.buffer[size-n : size], err == nil
}

// resources shares what a container asks for: a handful of sizes serve a whole cluster, and each would be
// three maps.
func (s *Sharer) resources(c *corev1.Container) {
	encoded, err := c.Resources.Marshal()
	if err != nil {
		return
	}
	known, ok := s.sizes[string(encoded)]
	if !ok {
		known = c.Resources
		s.sizes[string(encoded)] = known
	}
	c.Resources = known
}

// longest is the longest string worth a place among those that are shared, in bytes.
const longest = 512

// one returns the string that stands for all that are equal to it.
func (s *Sharer) one(text string) string {
	if text == "" || len(text) > longest {
		return text
	}
	if known, ok := s.strings[text]; ok {
		return known
	}
	s.strings[text] = text
	return text
}

// tokenVolume begins the name of the volume with a pod's token, which ends in five characters that no
// other pod has (k8s.io/kubernetes/plugin/pkg/admission/serviceaccount, ServiceAccountVolumeName).
const tokenVolume = "kube-api-access-"

// trimTokenVolume drops what makes the name of a pod's token volume its own.
func trimTokenVolume(spec *corev1.PodSpec) {
	found := false
	for i := range spec.Volumes {
		if strings.HasPrefix(spec.Volumes[i].Name, tokenVolume) && spec.Volumes[i].Projected != nil {
			spec.Volumes[i].Name = strings.TrimSuffix(tokenVolume, "-")
			found = true
		}
	}
	if !found {
		return
	}
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			mounts := containers[i].VolumeMounts
			for j := range mounts {
				if strings.HasPrefix(mounts[j].Name, tokenVolume) {
					mounts[j].Name = strings.TrimSuffix(tokenVolume, "-")
				}
			}
		}
	}
}
