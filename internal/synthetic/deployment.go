package synthetic

import (
	"context"
	"fmt"
	"net"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/synthetic/stage"
)

const (
	deploymentScenario = "deployment"
	// annotationRolled on the pod template is what a rolling update changes where no other image is named.
	annotationRolled = "maek.dev/rolled"
	// mostReplicas bounds CHECK_DEPLOYMENT_REPLICAS: the check is not there to fill a cluster.
	mostReplicas = 1000
)

var deploymentTable = append([]Option{
	{Name: "CHECK_IMAGE", Doc: "Image of the pods, which has to answer GET / with 200. It runs as the user that it names. The checker's own image, under the Pod Security level restricted, where it is not set."},
	{Name: "CHECK_IMAGE_ROLL_TO", Doc: "Image that the rolling update changes to. Where it is not set, or the same, the update changes an annotation of the pods."},
	{Name: "CHECK_IMAGE_PULL_SECRET", Doc: "Secret for pulling the images."},
	{Name: "CHECK_DEPLOYMENT_NAME", Doc: "What the Deployment's name begins with.", Default: "deployment-deployment"},
	{Name: "CHECK_SERVICE_NAME", Doc: "What the Service's name begins with.", Default: "deployment-svc"},
	{Name: "CHECK_CONTAINER_PORT", Doc: "Port that the image serves HTTP on, 1 to 65535.", Default: "8080"},
	{Name: "CHECK_LOAD_BALANCER_PORT", Doc: "Port of the Service, 1 to 65535.", Default: "80"},
	{Name: "CHECK_NAMESPACE", Doc: "Namespace to act in; that of the checker pod where it is not set."},
	{Name: "CHECK_DEPLOYMENT_REPLICAS", Doc: "Number of pods, 1 to 1000.", Default: "2"},
	{Name: "CHECK_DEPLOYMENT_ROLLING_UPDATE", Doc: "Whether to update the Deployment too, while requests go through the Service.", Default: "false"},
	{Name: "CHECK_SERVICE_ACCOUNT", Doc: "ServiceAccount of the pods.", Default: "default"},
	{Name: optionNodeSelector, Doc: "Labels of the nodes to run on: key=value with commas between."},
	{Name: optionTolerations, Doc: "Taints that the pods tolerate: key, key=value or key=value:effect, with commas between."},
}, podTable...)

// podTable are the options of scenarios whose pods do something.
var podTable = []Option{
	{Name: "CHECK_POD_CPU_REQUEST", Doc: "CPU request of each pod, in thousandths of a core.", Default: "15"},
	{Name: "CHECK_POD_CPU_LIMIT", Doc: "CPU limit of each pod, in thousandths of a core.", Default: "75"},
	{Name: "CHECK_POD_MEM_REQUEST", Doc: "Memory request of each pod, in MiB.", Default: "20"},
	{Name: "CHECK_POD_MEM_LIMIT", Doc: "Memory limit of each pod, in MiB.", Default: "75"},
	{Name: optionVariables, Doc: "Environment variables of the pods: NAME=value with commas between."},
	{Name: optionGrace, Doc: "Time for cleaning up when the run's time is over, at least 1s; what the checker is given where it is not set."},
	{Name: "DEBUG", Doc: "Whether to log in more detail.", Default: "false"},
}

var _ = All.Add(Scenario{
	Name:    deploymentScenario,
	Doc:     "Runs a Deployment behind a Service, sends requests through it, also while it is updated, and removes both. A failure says which step does not work, and why.",
	Images:  []string{"deployment-check"},
	Options: deploymentTable,
	Access: []rbacv1.PolicyRule{
		{APIGroups: []string{appsv1.GroupName}, Resources: []string{"deployments"}, Verbs: []string{"create", "delete", "get", "list", "patch", "watch"}},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"services"}, Verbs: []string{"create", "delete", "get", "list", "watch"}},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"events"}, Verbs: []string{"list"}},
	},
	Standing: true,
	Time:     15 * time.Minute,
	Run: func(ctx context.Context, env Environment) (Result, error) {
		return runDeployment(ctx, env, (&net.Dialer{Timeout: attemptTime}).DialContext)
	},
})

// deploymentOptions are the scenario's options, read.
type deploymentOptions struct {
	namespace, image, rollTo, pullSecret, name, service, account string
	port, servicePort                                            int
	replicas                                                     int
	roll                                                         bool
	selector                                                     map[string]string
	tolerations                                                  []corev1.Toleration
	variables                                                    []corev1.EnvVar
	resources                                                    corev1.ResourceRequirements
}

func (o *options) deployment(env Environment) deploymentOptions {
	const mostPort = 65535
	o.boolean("DEBUG") // The checker's own log follows it; here it only has to make sense.
	return deploymentOptions{
		namespace: o.namespaceOr("CHECK_NAMESPACE", env), image: o.text("CHECK_IMAGE"), rollTo: o.text("CHECK_IMAGE_ROLL_TO"),
		pullSecret: o.text("CHECK_IMAGE_PULL_SECRET"), name: o.text("CHECK_DEPLOYMENT_NAME"), service: o.text("CHECK_SERVICE_NAME"),
		account: o.text("CHECK_SERVICE_ACCOUNT"), port: o.integer("CHECK_CONTAINER_PORT", 1, mostPort),
		servicePort: o.integer("CHECK_LOAD_BALANCER_PORT", 1, mostPort), replicas: o.integer("CHECK_DEPLOYMENT_REPLICAS", 1, mostReplicas),
		roll: o.boolean("CHECK_DEPLOYMENT_ROLLING_UPDATE"), selector: o.nodeSelector(), tolerations: o.tolerations(optionTolerations),
		variables: o.variables(), resources: o.resources(),
	}
}

// resources reads what the pods ask for and may use. No limit is below its request: the API server
// would refuse that.
func (o *options) resources() corev1.ResourceRequirements {
	const most = 1 << 20 // a thousand cores, or a TiB
	cpu, memory := o.integer("CHECK_POD_CPU_REQUEST", 0, most), o.integer("CHECK_POD_MEM_REQUEST", 0, most)
	mostCPU, mostMemory := o.integer("CHECK_POD_CPU_LIMIT", 1, most), o.integer("CHECK_POD_MEM_LIMIT", 1, most)
	list := func(millis, mebibytes int) corev1.ResourceList {
		return corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(int64(millis), resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(int64(mebibytes)<<20, resource.BinarySI),
		}
	}
	return corev1.ResourceRequirements{Requests: list(cpu, memory), Limits: list(max(cpu, mostCPU), max(memory, mostMemory))}
}

// ownImage tells that the pods run the checker's own program, whose manners are known.
func (o *deploymentOptions) ownImage() bool { return o.image == "" }

func (o *deploymentOptions) deployment(env Environment, s *stage.Stage) *appsv1.Deployment {
	labels := s.Labels()
	pod := corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "deployment-container", Image: o.image, ImagePullPolicy: corev1.PullIfNotPresent,
			Ports:     []corev1.ContainerPort{{Name: "http", ContainerPort: int32(o.port)}}, //nolint:gosec // read as 1 to 65535
			Env:       o.variables,
			Resources: o.resources,
			ReadinessProbe: &corev1.Probe{
				ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("http")}},
				PeriodSeconds: 1, TimeoutSeconds: 2, FailureThreshold: 5,
			},
		}},
		ServiceAccountName:            o.account,
		NodeSelector:                  o.selector,
		Tolerations:                   o.tolerations,
		TerminationGracePeriodSeconds: new(int64(30)),
	}
	if o.pullSecret != "" {
		pod.ImagePullSecrets = []corev1.LocalObjectReference{{Name: o.pullSecret}}
	}
	if o.ownImage() {
		c := &pod.Containers[0]
		c.Image, c.Args = env.Image, []string{"serve", fmt.Sprintf(":%d", o.port)}
		restrict(&pod)
	} else {
		asTheImageIs(&pod)
	}
	// Half of the pods, as Kuberhealthy has it, but never all: then requests would fail by design.
	surge, unavailable := intstr.FromInt32(int32((o.replicas+1)/2)), intstr.FromInt32(int32(o.replicas/2)) //nolint:gosec // at most mostReplicas
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: s.Name(o.name), Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas:        new(int32(o.replicas)), //nolint:gosec // at most mostReplicas
			Selector:        &metav1.LabelSelector{MatchLabels: labels},
			MinReadySeconds: 2,
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &unavailable},
			},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
		},
	}
}

func (o *deploymentOptions) serviceFor(s *stage.Stage) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: s.Name(o.service)},
		Spec: corev1.ServiceSpec{
			Selector: s.Labels(),
			Ports: []corev1.ServicePort{{
				Name: "http", Port: int32(o.servicePort), TargetPort: intstr.FromString("http"), //nolint:gosec // read as 1 to 65535
			}},
		},
	}
}

// change is what the rolling update patches.
func (o *deploymentOptions) change(d *appsv1.Deployment, now time.Time) client.Patch {
	patch := client.MergeFrom(d.DeepCopy())
	if d.Spec.Template.Annotations == nil {
		d.Spec.Template.Annotations = map[string]string{}
	}
	d.Spec.Template.Annotations[annotationRolled] = now.UTC().Format(time.RFC3339)
	if o.rollTo != "" {
		d.Spec.Template.Spec.Containers[0].Image = o.rollTo
		if o.ownImage() {
			d.Spec.Template.Spec.Containers[0].Args = nil
			asTheImageIs(&d.Spec.Template.Spec)
		}
	}
	return patch
}
