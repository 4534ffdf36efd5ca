package synthetic

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/synthetic/stage"
)

const imageDownloadScenario = "image-download"

// nothing is the command of the pods: only the image is wanted, whose program may do anything. That the
// container then does not start is how one knows that the image is there.
const nothing = "/nothing-is-run-of-this-image"

var imageDownloadTable = []Option{
	{Name: "FULL_IMAGE_URL", Doc: "Image to download, such as registry.example.com/shop/cart:v3."},
	{Name: "TIMEOUT_LIMIT", Doc: "Longest time that the download may take."},
	{Name: "EVERY_NODE", Doc: "Whether to download to every node that is ready and not cordoned, in place of one.", Default: "false"},
	{Name: optionNodeSelector, Doc: "Labels of the nodes to download to: key=value with commas between."},
	{Name: "LOGIN_REQUIRED", Doc: "Whether the registry wants a name and a password. Then the checker downloads by itself, so that they are written nowhere in the cluster.", Default: "false"},
	{Name: "REGISTRY_USERNAME", Doc: "Name for the registry."},
	{Name: "REGISTRY_PASSWORD", Doc: "Password for the registry."},
}

var _ = All.Add(Scenario{
	Name:    imageDownloadScenario,
	Doc:     "Has nodes download an image. A failure means that the image does not come, or not in the time that it is given.",
	Images:  []string{"image-download-check"},
	Options: imageDownloadTable,
	Access: []rbacv1.PolicyRule{
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"pods"}, Verbs: []string{"create", "delete", "get", "list", "watch"}},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"events"}, Verbs: []string{"list"}},
	},
	ClusterAccess: []rbacv1.PolicyRule{
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"nodes"}, Verbs: []string{"list"}},
	},
	Time: 25 * time.Minute,
	Run:  runImageDownload,
})

// imageDownload is one run of the scenario.
type imageDownload struct {
	env                Environment
	image              string
	username, password string
	limit              time.Duration
	selector           map[string]string
}

func runImageDownload(ctx context.Context, env Environment) (Result, error) {
	told := env.read(imageDownloadTable)
	d := &imageDownload{
		env: env, image: told.needed("FULL_IMAGE_URL", "an image such as nginx:1.29"), limit: told.duration("TIMEOUT_LIMIT", time.Second),
		selector: told.nodeSelector(),
	}
	everyNode, login := told.boolean("EVERY_NODE"), told.boolean("LOGIN_REQUIRED")
	if login {
		d.username = told.needed("REGISTRY_USERNAME", "the name for the registry")
		d.password = told.needed("REGISTRY_PASSWORD", "the password for the registry")
	}
	if err := told.err(); err != nil {
		return Result{}, err
	}
	if login {
		return d.byItself(ctx), nil
	}
	forbidden := false
	result := act(ctx, env, imageDownloadScenario, func(ctx context.Context, s *stage.Stage, r *Result) {
		sweep(ctx, s, r, env.Namespace, &corev1.PodList{})
		targets, err := d.targets(ctx, everyNode, r)
		if err != nil {
			r.Errors = append(r.Errors, err.Error())
			return
		}
		forbidden = d.byNodes(ctx, s, r, targets)
	})
	if forbidden {
		// Kuberhealthy's manifest gives its check no rights at all.
		result = d.byItself(ctx)
		result.Notes = append(result.Notes, "the ServiceAccount may not create pods: the checker downloaded the image by itself, and no node was tried")
	}
	return result, nil
}

// targets are the nodes to download to; "" for any.
func (d *imageDownload) targets(ctx context.Context, every bool, r *Result) ([]string, error) {
	if !every {
		return []string{""}, nil
	}
	var targets, ill []string
	template := &coverage{set: (&daemonSetOptions{selector: d.selector}).daemonSet(d.env, &stage.Stage{})}
	err := each(ctx, d.env.Client, &corev1.NodeList{}, "nodes", "", metav1.ListOptions{}, func(n *corev1.Node) {
		switch {
		case template.excused(n) != "":
		case notReady(n) != "":
			ill = append(ill, n.Name)
		default:
			targets = append(targets, n.Name)
		}
	})
	if len(ill) > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("node %s is NotReady: not asked to download", names(ill)))
	}
	if err == nil && len(targets) == 0 {
		err = fmt.Errorf("no node fits %s, is ready for pods and has no taint", optionNodeSelector)
	}
	return targets, err
}

// byNodes has the kubelets download, and tells that pods may not be created.
func (d *imageDownload) byNodes(ctx context.Context, s *stage.Stage, r *Result, targets []string) (forbidden bool) {
	began := d.env.Clock.Now()
	watching, stop := context.WithCancel(ctx)
	views := stage.NewViews(d.env.Client, d.env.Clock)
	defer views.Wait()
	defer stop()
	for i, node := range targets {
		pod := d.pod(s, i, node)
		if err := s.Make(ctx, pod); err != nil {
			if i == 0 && apierrors.IsForbidden(err) && stage.NotAllowed(err) {
				return true
			}
			r.Errors = append(r.Errors, err.Error())
			return false
		}
	}
	pods := stage.Observe[*corev1.Pod](watching, views, &corev1.PodList{}, client.InNamespace(d.env.Namespace), s.Selector())
	waiting, done := context.WithTimeout(ctx, d.limit)
	defer done()
	patience := newPatience(watching, d.env, views)
	err := views.Until(waiting, 0, func() (bool, error) {
		settled := 0
		for _, pod := range pods.All() {
			if pulled(pod) || pullFailed(pod) || pod.Status.Phase == corev1.PodFailed || patience.anyIgnored(waiting, []*corev1.Pod{pod}) {
				settled++
			}
		}
		return settled >= len(targets), nil
	})
	asking, finished := explaining(ctx, d.env)
	defer finished()
	byReason := map[string][]string{}
	for _, pod := range pods.All() {
		result := d.judge(asking, pod, began)
		if result.Node == "" {
			result.Node = target(pod)
		}
		r.Nodes = append(r.Nodes, result)
		if !result.OK {
			byReason[result.Message] = append(byReason[result.Message], result.Node)
		}
	}
	slices.SortFunc(r.Nodes, func(a, b NodeResult) int { return strings.Compare(a.Node, b.Node) })
	for _, why := range slices.Sorted(maps.Keys(byReason)) {
		r.Errors = append(r.Errors, fmt.Sprintf("image %s, node %s: %s", d.shown(), names(byReason[why]), why))
	}
	if err != nil && len(byReason) == 0 {
		r.Errors = append(r.Errors, fmt.Sprintf("image %s: its download could not be followed to the end: %s", d.shown(), cutShort(err, views)))
	}
	return false
}

func (d *imageDownload) shown() string { return secret.Redact(d.image) }

func (d *imageDownload) pod(s *stage.Stage, i int, node string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.env.Namespace, Name: s.Name("image-download-" + strconv.Itoa(i))},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "image", Image: d.image, ImagePullPolicy: corev1.PullAlways, Command: []string{nothing}, Resources: tiny(),
			}},
			RestartPolicy:         corev1.RestartPolicyNever,
			NodeSelector:          d.selector,
			ActiveDeadlineSeconds: new(int64((d.limit + afterExpiry).Seconds())),
		},
	}
	if node != "" {
		pod.Spec.Affinity = onNode(corev1.NodeSelectorOpIn, node)
	}
	restrict(&pod.Spec)
	return pod
}

// onNode lets a pod go to a node, or with NotIn to any other.
func onNode(op corev1.NodeSelectorOperator, node string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: op, Values: []string{node}}},
		}},
	}}}
}

// pulled tells that the image of a pod is on its node: the kubelet went on to make the container.
func pulled(p *corev1.Pod) bool {
	for i := range p.Status.ContainerStatuses {
		s := &p.Status.ContainerStatuses[i]
		if s.State.Running != nil || s.State.Terminated != nil && p.Status.Reason == "" {
			return true
		}
		// https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kuberuntime/kuberuntime_container.go
		// and pkg/kubelet/container/sync_result.go
		if s.State.Waiting != nil && slices.Contains([]string{"CreateContainerError", "CreateContainerConfigError", "RunContainerError", "StartError"}, s.State.Waiting.Reason) {
			return true
		}
	}
	return false
}

// pullFailed tells that the kubelet could not pull: pkg/kubelet/images/types.go.
func pullFailed(p *corev1.Pod) bool {
	for i := range p.Status.ContainerStatuses {
		w := p.Status.ContainerStatuses[i].State.Waiting
		if w != nil && slices.Contains([]string{"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}, w.Reason) {
			return true
		}
	}
	return false
}

func (d *imageDownload) judge(ctx context.Context, p *corev1.Pod, began time.Time) NodeResult {
	result := NodeResult{Node: p.Spec.NodeName, OK: pulled(p)}
	if !result.OK {
		result.Message = fmt.Sprintf("it was not there after %s: the pod %s", min(d.limit, d.env.Clock.Since(began).Round(time.Second)), stage.WhyNot(ctx, d.env.Client, p))
		if pullFailed(p) {
			result.Message = "the download failed: the pod " + stage.WhyNot(ctx, d.env.Client, p)
		}
		return result
	}
	took := d.took(ctx, p)
	result.Seconds = took.Seconds()
	if took > d.limit {
		result.OK = false
		result.Message = fmt.Sprintf("the download took %s, longer than TIMEOUT_LIMIT=%s", took, d.limit)
	}
	return result
}

// pullTimes matches what the kubelet says of a pull: pkg/kubelet/images/image_manager.go, EnsureImageExists.
var pullTimes = regexp.MustCompile(`^Successfully pulled image .* in ([0-9.a-zµ]+)(?: \(([0-9.a-zµ]+) including waiting\))?`)

// took is how long the download took, by the kubelet's Event; where that may not be read, it is the
// time from the pod having its node to its container having been tried, to the second.
func (d *imageDownload) took(ctx context.Context, p *corev1.Pod) time.Duration {
	var events corev1.EventList
	if err := d.env.Client.List(ctx, &events, client.InNamespace(p.Namespace), client.MatchingFields{stage.EventUID: string(p.UID)}); err == nil {
		for i := range events.Items {
			if m := pullTimes.FindStringSubmatch(events.Items[i].Message); m != nil {
				for _, text := range []string{m[2], m[1]} {
					if took, err := time.ParseDuration(text); err == nil {
						return took
					}
				}
			}
		}
	}
	began := p.CreationTimestamp.Time
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			began = c.LastTransitionTime.Time
		}
	}
	for i := range p.Status.ContainerStatuses {
		s := p.Status.ContainerStatuses[i].State
		switch {
		case s.Running != nil:
			return s.Running.StartedAt.Sub(began)
		case s.Terminated != nil && !s.Terminated.FinishedAt.IsZero():
			return s.Terminated.FinishedAt.Sub(began)
		}
	}
	return d.env.Clock.Since(began)
}
