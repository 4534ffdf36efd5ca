package synthetic

import (
	"context"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/synthetic/stage"
)

const (
	storageScenario = "storage"
	// VolumeFile is what the storage scenario writes to and reads from in its pods, and VolumeText what it
	// writes: Kuberhealthy's storage check does the same.
	VolumeFile, VolumeText = volumePath + "/index.html", "storage-check-ok"
	volumePath             = "/data"
	// labelStep tells the jobs of a run apart.
	labelStep = "maek.dev/step"
)

var storageTable = append([]Option{
	{Name: "CHECK_STORAGE_PVC_STORAGE_CLASS_NAME", Doc: "StorageClass of the claim; the cluster's default where it is not set."},
	{Name: "CHECK_STORAGE_PVC_SIZE", Doc: "Size of the claim.", Default: "1Gi"},
	{Name: "CHECK_STORAGE_NAME", Doc: "What the claim's name begins with.", Default: "storage-check-pvc"},
	{Name: "CHECK_STORAGE_INIT_JOB_NAME", Doc: "What the name of the Job that writes begins with.", Default: "storage-check-init-job"},
	{Name: "CHECK_STORAGE_JOB_NAME", Doc: "What the names of the Jobs that read begin with.", Default: "storage-check-job"},
	{Name: "CHECK_STORAGE_IMAGE", Doc: "Image that reads, as the user that it names. The checker's own where it is not set."},
	{Name: "CHECK_STORAGE_INIT_IMAGE", Doc: "Image that writes, as the user that it names. The checker's own where it is not set."},
	{Name: "CHECK_STORAGE_INIT_COMMAND", Doc: "Shell of the image that writes.", Default: "/bin/sh"},
	{Name: "CHECK_STORAGE_INIT_COMMAND_ARGS", Doc: "What that shell is to do.", Default: "echo storage-check-ok > /data/index.html && ls -la /data && cat /data/index.html"},
	{Name: "CHECK_STORAGE_COMMAND", Doc: "Shell of the image that reads.", Default: "/bin/sh"},
	{Name: "CHECK_STORAGE_COMMAND_ARGS", Doc: "What that shell is to do.", Default: "ls -la /data && cat /data/index.html && cat /data/index.html | grep storage-check-ok"},
	{Name: "CHECK_STORAGE_ALLOWED_CHECK_NODES", Doc: "Nodes to read on, with commas or spaces between. Where it is not set, one other than the node that wrote."},
	{Name: "CHECK_STORAGE_IGNORED_CHECK_NODES", Doc: "Nodes to keep away from, with commas or spaces between."},
	{Name: "CHECK_NAMESPACE", Doc: "Namespace to act in; that of the checker pod where it is not set."},
	{Name: "CHECK_TOLERATIONS", Doc: "Taints that the pods tolerate: key, key=value or key=value:effect, with commas between."},
	{Name: optionTolerations, Doc: "The same."},
}, podTable...)

var _ = All.Add(Scenario{
	Name:    storageScenario,
	Doc:     "Claims a volume, writes to it, reads that on another node, and has the volume deleted. A failure says which step does not work, and why.",
	Images:  []string{"kuberhealthy-storage-check", "storage-check"},
	Options: storageTable,
	Access: []rbacv1.PolicyRule{
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"persistentvolumeclaims"}, Verbs: []string{"create", "delete", "get", "list", "watch"}},
		{APIGroups: []string{batchv1.GroupName}, Resources: []string{"jobs"}, Verbs: []string{"create", "delete", "get", "list", "watch"}},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"events"}, Verbs: []string{"list"}},
	},
	ClusterAccess: []rbacv1.PolicyRule{
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"nodes"}, Verbs: []string{"list", "watch"}},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"persistentvolumes"}, Verbs: []string{"list", "watch"}},
		{APIGroups: []string{storagev1.GroupName}, Resources: []string{"storageclasses"}, Verbs: []string{"list"}},
	},
	Time: 10 * time.Minute,
	Run:  runStorage,
})

// storageStep is what a Job's container does.
type storageStep struct{ image, command, arguments string }

// storageOptions are the scenario's options, read.
type storageOptions struct {
	namespace, class, claim, writeJob, readJob string
	size                                       resource.Quantity
	write, read                                storageStep
	allowed, ignored                           []string
	tolerations                                []corev1.Toleration
	variables                                  []corev1.EnvVar
	resources                                  corev1.ResourceRequirements
}

func (o *options) storage(env Environment) storageOptions {
	o.boolean("DEBUG")
	size, err := resource.ParseQuantity(o.text("CHECK_STORAGE_PVC_SIZE"))
	if err != nil || size.Sign() <= 0 {
		o.refuse("CHECK_STORAGE_PVC_SIZE", o.text("CHECK_STORAGE_PVC_SIZE"), "a size such as 1Gi")
	}
	return storageOptions{
		namespace: o.namespaceOr("CHECK_NAMESPACE", env), class: o.text("CHECK_STORAGE_PVC_STORAGE_CLASS_NAME"), size: size,
		claim: o.text("CHECK_STORAGE_NAME"), writeJob: o.text("CHECK_STORAGE_INIT_JOB_NAME"), readJob: o.text("CHECK_STORAGE_JOB_NAME"),
		write:   storageStep{o.text("CHECK_STORAGE_INIT_IMAGE"), o.text("CHECK_STORAGE_INIT_COMMAND"), o.text("CHECK_STORAGE_INIT_COMMAND_ARGS")},
		read:    storageStep{o.text("CHECK_STORAGE_IMAGE"), o.text("CHECK_STORAGE_COMMAND"), o.text("CHECK_STORAGE_COMMAND_ARGS")},
		allowed: o.words("CHECK_STORAGE_ALLOWED_CHECK_NODES"), ignored: o.words("CHECK_STORAGE_IGNORED_CHECK_NODES"),
		tolerations: append(o.tolerations("CHECK_TOLERATIONS"), o.tolerations(optionTolerations)...),
		variables:   o.variables(), resources: o.resources(),
	}
}

// words splits at commas and spaces.
func (o *options) words(name string) []string {
	return strings.FieldsFunc(o.text(name), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
}

func (o *storageOptions) claimFor(s *stage.Stage) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: s.Name(o.claim)},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: o.size}},
		},
	}
	if o.class != "" {
		claim.Spec.StorageClassName = new(o.class)
	}
	return claim
}

// job makes a Job of one try that mounts the claim, on the nodes that affinity lets it go to. It goes by
// affinity and not by nodeName, so that the scheduler says why a volume cannot be there.
func (o *storageOptions) job(ctx context.Context, env Environment, s *stage.Stage, name string, own []string, step storageStep, affinity *corev1.Affinity, claim string) *batchv1.Job {
	labels := s.Labels()
	labels[labelStep] = name
	pod := corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "storage", Image: step.image, ImagePullPolicy: corev1.PullIfNotPresent,
			Env: o.variables, Resources: o.resources,
			VolumeMounts:           []corev1.VolumeMount{{Name: "data", MountPath: volumePath}},
			TerminationMessagePath: corev1.TerminationMessagePathDefault, TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		}},
		RestartPolicy:                 corev1.RestartPolicyNever,
		TerminationGracePeriodSeconds: new(int64(1)),
		Affinity:                      affinity,
		Tolerations:                   o.tolerations,
		Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}}},
	}
	if step.image == "" {
		pod.Containers[0].Image, pod.Containers[0].Args = env.Image, own
		restrict(&pod)
	} else {
		pod.Containers[0].Command, pod.Containers[0].Args = []string{step.command}, []string{"-c", step.arguments}
		asTheImageIs(&pod)
	}
	lasts := max(int64(1), int64(s.Expires.Sub(env.Clock.Now()).Seconds()))
	if end, ok := ctx.Deadline(); ok {
		lasts = max(int64(1), int64(end.Sub(env.Clock.Now()).Seconds()))
	}
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: s.Name(name)},
		Spec: batchv1.JobSpec{
			BackoffLimit:            new(int32(0)),
			ActiveDeadlineSeconds:   &lasts,
			TTLSecondsAfterFinished: new(int32(3600)), // long enough to be looked at, when nobody removes it
			Template:                corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
		},
	}
}

// steps tells how long each took.
type steps []string

func (t *steps) add(what string, took time.Duration) {
	*t = append(*t, fmt.Sprintf("%s %s", what, took.Round(10*time.Millisecond)))
}
