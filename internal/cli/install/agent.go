package install

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/monitor"
)

const (
	// AgentName is the name of everything that belongs to the agent.
	AgentName = "maek-agent"
	// AgentRepository is where the agent's image is called to be from.
	AgentRepository = "ghcr.io/maek-dev/maek-agent"
)

// Agent says how the agent is installed.
type Agent struct {
	// Image of the agent.
	Image string
	// NodeConditions tells whether agents write conditions of their Nodes, and events.
	NodeConditions bool
}

// Memory of the agent, in bytes. The runtime keeps below goMemory what it manages; the limit leaves room
// for the program itself and for a burst of reports that are passed on.
const (
	memoryRequest = "40Mi"
	memoryLimit   = "96Mi"
	goMemory      = "24MiB"
)

// agentLabels of the agent's objects and pods; peers find each other by them.
func agentLabels() map[string]string {
	l := labels()
	l["app.kubernetes.io/component"] = monitor.Component
	return l
}

// agentObjects are all objects of the agent, in the order in which they can be applied.
func agentObjects(namespace string, a Agent) []runtime.Object {
	objects := []runtime.Object{agentAccount(namespace), agentReader(), binding(namespace, AgentReaderName)}
	objects = append(objects, agentProbers(namespace)...)
	objects = append(objects, agentAccess(namespace, a)...)
	objects = append(objects, ownNodePolicy(namespace), ownNodeBinding())
	return append(objects, daemonSet(namespace, a))
}

func agentAccount(namespace string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: AgentName, Labels: agentLabels()},
	}
}

func daemonSet(namespace string, a Agent) *appsv1.DaemonSet {
	selector := map[string]string{"app.kubernetes.io/name": "maek", "app.kubernetes.io/component": monitor.Component}
	return &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "DaemonSet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: AgentName, Labels: agentLabels()},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: selector},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
				Type:          appsv1.RollingUpdateDaemonSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: new(intstr.FromString("10%"))},
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: agentLabels()},
				Spec: corev1.PodSpec{
					ServiceAccountName: AgentName,
					// What an agent watches is the machine's network, and it must work when the pods' does not.
					HostNetwork: true,
					// Names of the cluster are none of its concern; its own DNS may be what is broken.
					DNSPolicy:          corev1.DNSDefault,
					EnableServiceLinks: new(false),
					PriorityClassName:  "system-node-critical",
					// A sick node is where it is needed.
					Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
					NodeSelector:                  map[string]string{corev1.LabelOSStable: "linux"},
					TerminationGracePeriodSeconds: new(int64(10)),
					SecurityContext:               &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
					Containers:                    []corev1.Container{agentContainer(a)},
					Volumes: []corev1.Volume{
						hostVolume("host", "/", corev1.HostPathDirectory),
						hostVolume("state", monitor.StatePath, corev1.HostPathDirectoryOrCreate),
						hostVolume("socket", "/run/maek", corev1.HostPathDirectoryOrCreate),
					},
				},
			},
		},
	}
}

func agentContainer(a Agent) corev1.Container {
	args := []string{"--root=/host"}
	if a.NodeConditions {
		args = append(args, "--node-conditions")
	}
	return corev1.Container{
		Name:  "agent",
		Image: a.Image,
		Args:  args,
		Env: []corev1.EnvVar{
			{Name: "NODE_NAME", ValueFrom: own("spec.nodeName")},
			{Name: "POD_NAMESPACE", ValueFrom: own("metadata.namespace")},
			{Name: "GOMEMLIMIT", Value: goMemory},
			{Name: "GOGC", Value: "40"},
			// A guest is small, however large the machine: with one processor the runtime wakes no second one for
			// each packet, which is nearly half of what the agent takes. And nobody profiles it there
			// (https://pkg.go.dev/runtime#hdr-Environment_Variables).
			{Name: "GOMAXPROCS", Value: "1"},
			{Name: "GODEBUG", Value: "memprofilerate=0"},
		},
		Ports: []corev1.ContainerPort{
			{Name: "https", ContainerPort: monitor.Port, HostPort: monitor.Port, Protocol: corev1.ProtocolTCP},
			{Name: "beacons", ContainerPort: monitor.Port, HostPort: monitor.Port, Protocol: corev1.ProtocolUDP},
		},
		// Asked at the machine itself: what the kubelet cannot reach, an agent on a cut machine is not to blame for.
		LivenessProbe: &corev1.Probe{
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
				Path: monitor.HealthPath, Host: "127.0.0.1", Port: intstr.FromString("https"), Scheme: corev1.URISchemeHTTPS,
			}},
			InitialDelaySeconds: 15, PeriodSeconds: 30, TimeoutSeconds: 5, FailureThreshold: 4,
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse(memoryRequest)},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memoryLimit)},
		},
		SecurityContext: &corev1.SecurityContext{
			// Root, for what it reads is root's, and nothing beyond: no capability, no new privilege.
			RunAsUser: new(int64(0)), RunAsGroup: new(int64(0)),
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		VolumeMounts: []corev1.VolumeMount{
			// What is mounted on the machine later is seen too.
			{Name: "host", MountPath: "/host", ReadOnly: true, MountPropagation: new(corev1.MountPropagationHostToContainer)},
			{Name: "state", MountPath: monitor.StatePath},
			{Name: "socket", MountPath: "/run/maek"},
		},
	}
}

func hostVolume(name, path string, kind corev1.HostPathType) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &kind}}}
}
