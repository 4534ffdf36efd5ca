package install

import (
	"path"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/synthetic/launch"
)

const (
	// OperatorName is the name of everything that belongs to the operator.
	OperatorName = "maek-operator"
	// OperatorRepository is where the operator's image is called to be from.
	OperatorRepository = "ghcr.io/maek-dev/maek-operator"
	// ServiceName is the name under which Kuberhealthy's users know the operator: checker pods report to
	// it, and Prometheus scrapes it.
	ServiceName = "kuberhealthy"
	// operatorComponent of the operator's labels.
	operatorComponent = "operator"
	// operatorPort of the container: that of Kuberhealthy's own.
	operatorPort = 8080
)

// Operator says how the operator is installed.
type Operator struct {
	// Image of the operator.
	Image string
	// CheckerImage of the stock checks.
	CheckerImage string
	// Replicas that share the checks.
	Replicas int32
	// Adopt runs Kuberhealthy's checks although a Kuberhealthy is alive.
	Adopt bool
	// Language of incidents: en or ko.
	Language string
}

// What the operator is given. At 2,000 pods it takes far less than the request; the limit leaves room for
// 100,000 (docs/performance.md).
const (
	operatorCPURequest    = "50m"
	operatorMemoryRequest = "128Mi"
	operatorMemoryLimit   = "2Gi"
	operatorGoMemory      = "1800MiB"
	// operatorGoPercent has garbage collected when the heap has grown by half: most of what it holds stays for
	// long (bench/watched).
	operatorGoPercent = "50"
)

func operatorLabels() map[string]string {
	l := labels()
	l["app.kubernetes.io/component"] = operatorComponent
	return l
}

// operatorSelector selects the operator's pods. Kuberhealthy's label app=kuberhealthy is not on them: a
// Kuberhealthy 2 in the same namespace would take one for its master (master: pkg/masterCalculation).
func operatorSelector() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "maek", "app.kubernetes.io/component": operatorComponent}
}

// operatorObjects are all objects of the operator, in the order in which they can be applied.
func operatorObjects(namespace string, rules []rule.Rule, o Operator) []runtime.Object {
	objects := []runtime.Object{operatorAccount(namespace)}
	objects = append(objects, operatorAccess(namespace, rules)...)
	objects = append(objects, operatorService(namespace), operatorBudget(namespace), operatorDeployment(namespace, o))
	return append(objects, stockChecks(namespace, o)...)
}

func operatorAccount(namespace string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: OperatorName, Labels: operatorLabels()},
	}
}

func operatorService(namespace string) *corev1.Service {
	l := operatorLabels()
	// ServiceMonitors of both versions select it by this.
	l["app"] = ServiceName
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: ServiceName, Labels: l},
		Spec: corev1.ServiceSpec{
			Selector: operatorSelector(),
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http"), Protocol: corev1.ProtocolTCP}},
		},
	}
}

func operatorBudget(namespace string) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: policyv1.SchemeGroupVersion.String(), Kind: "PodDisruptionBudget"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: OperatorName, Labels: operatorLabels()},
		Spec: policyv1.PodDisruptionBudgetSpec{
			// Not minAvailable: a single replica would block every drain.
			MaxUnavailable: new(intstr.FromInt32(1)),
			Selector:       &metav1.LabelSelector{MatchLabels: operatorSelector()},
			// What is not ready protects nobody.
			UnhealthyPodEvictionPolicy: new(policyv1.AlwaysAllow),
		},
	}
}

func operatorDeployment(namespace string, o Operator) *appsv1.Deployment {
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: OperatorName, Labels: operatorLabels()},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(o.Replicas),
			Selector: &metav1.LabelSelector{MatchLabels: operatorSelector()},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: operatorLabels()},
				Spec: corev1.PodSpec{
					ServiceAccountName: OperatorName,
					EnableServiceLinks: new(false),
					PriorityClassName:  "system-cluster-critical",
					Tolerations: []corev1.Toleration{
						// On clusters that are all control plane, there is nowhere else.
						{Key: "node-role.kubernetes.io/control-plane", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
						// The other replica has the checks within seconds; this one is made anew as soon.
						{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(30))},
						{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(30))},
					},
					TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
						MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
						LabelSelector: &metav1.LabelSelector{MatchLabels: operatorSelector()},
					}},
					TerminationGracePeriodSeconds: new(int64(30)),
					SecurityContext:               launch.RestrictedPod(),
					Containers:                    []corev1.Container{operatorContainer(o)},
					Volumes:                       []corev1.Volume{agentToken()},
				},
			},
		},
	}
}

func operatorContainer(o Operator) corev1.Container {
	args := []string{"--listen-address=:" + strconv.Itoa(operatorPort)}
	if o.Adopt {
		args = append(args, "--adopt")
	}
	if o.Language != "" {
		args = append(args, "--language="+o.Language)
	}
	return corev1.Container{
		Name:  "operator",
		Image: o.Image,
		Args:  args,
		Env: []corev1.EnvVar{
			{Name: "POD_NAME", ValueFrom: own("metadata.name")},
			{Name: "POD_NAMESPACE", ValueFrom: own("metadata.namespace")},
			{Name: "POD_UID", ValueFrom: own("metadata.uid")},
			{Name: "POD_SERVICE_ACCOUNT", ValueFrom: own("spec.serviceAccountName")},
			{Name: "MAEK_CHECKER_IMAGE", Value: o.CheckerImage},
			{Name: "GOMEMLIMIT", Value: operatorGoMemory},
			{Name: "GOGC", Value: operatorGoPercent},
		},
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: operatorPort, Protocol: corev1.ProtocolTCP}},
		LivenessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")}},
			PeriodSeconds: 20, TimeoutSeconds: 5, FailureThreshold: 6,
		},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromString("http")}},
			PeriodSeconds: 5, TimeoutSeconds: 5, FailureThreshold: 3,
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(operatorCPURequest), corev1.ResourceMemory: resource.MustParse(operatorMemoryRequest)},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(operatorMemoryLimit)},
		},
		SecurityContext: launch.RestrictedContainer(),
		VolumeMounts:    []corev1.VolumeMount{{Name: agentTokenVolume, MountPath: path.Dir(agents.TokenFile), ReadOnly: true}},
	}
}

// own is a field of the pod itself.
func own(path string) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}
}
