package checkobjects

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// The environment of a process that is a replica.
const (
	envReplica    = "MAEK_TEST_REPLICA"
	envNamespace  = "MAEK_TEST_NAMESPACE"
	envKubeconfig = "MAEK_TEST_KUBECONFIG"
)

// TestReplicaProcess is a replica until it is killed, in a process that TestKill starts.
func TestReplicaProcess(t *testing.T) {
	name := os.Getenv(envReplica)
	if name == "" {
		t.Skip("this is a part of TestKill")
	}
	operate(t, admin, os.Getenv(envNamespace), name)
	<-t.Context().Done()
}

// replicaProcess starts a replica in a process of its own.
func replicaProcess(t *testing.T, kubeconfig, namespace, name string) *exec.Cmd {
	t.Helper()
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReplicaProcess$", "-test.timeout=10m")
	process.Env = append(os.Environ(), envReplica+"="+name, envNamespace+"="+namespace, envKubeconfig+"="+kubeconfig)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait() // it was killed
	})
	return process
}

// kubeconfigOf writes what a process needs to reach an API server.
func kubeconfigOf(t *testing.T, config *rest.Config) string {
	t.Helper()
	file := t.TempDir() + "/kubeconfig"
	if err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// podsOf are the pods of a namespace by the check that they are runs of.
func podsOf(t *testing.T, c client.Client, namespace string) map[string][]corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := c.List(t.Context(), &list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	all := map[string][]corev1.Pod{}
	for _, pod := range list.Items {
		all[pod.Labels["maek.dev/check"]] = append(all[pod.Labels["maek.dev/check"]], pod)
	}
	return all
}

// TestKill kills one of two replicas, in the middle of runs and without a word to anybody: the other goes on with
// what it ran. No verdict changes by that, no Event is made again, and no pod is doubled.
func TestKill(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	kubeconfig := kubeconfigOf(t, admin)
	replicas := map[string]*exec.Cmd{}
	for _, name := range []string{"maek-operator-0", "maek-operator-1"} {
		replicas[name] = replicaProcess(t, kubeconfig, namespace, name)
	}
	// Services without endpoints, and pods that nobody ever starts.
	behind(t, c, namespace, "web", 8080, false)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}}
	if err := c.Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	const checks, none = 4, "Ready=True/Running Healthy=False/NoEndpoints Stalled=False/Accepted"
	var probes, pods []types.NamespacedName
	for i := range checks {
		probe := &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("probe-%d", i)}}
		probe.Spec.PeriodSeconds = 1
		probe.Spec.HTTPGet = &corev1.HTTPGetAction{Port: intstr.FromString("http")}
		probe.Spec.Target = &v1alpha1.CheckTarget{Service: &v1alpha1.ServiceTarget{Name: "web"}}
		probes = append(probes, create(t, c, probe))
		pod := &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("pod-%d", i)}}
		pod.Spec.PeriodSeconds, pod.Spec.TimeoutSeconds = 1200, 1100
		pod.Spec.PodTemplate = &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}}}
		pods = append(pods, create(t, c, pod))
	}
	before := map[types.NamespacedName]v1alpha1.CheckStatus{}
	observed := map[string]int{}
	for _, name := range probes {
		before[name] = waitForConditions(t, c, name, none, 2*time.Minute)
		observed[before[name].Observer]++
	}
	waitFor(t, "a pod of each run", 2*time.Minute, func() bool { return len(podsOf(t, c, namespace)) == checks })
	killed, left := "maek-operator-0", "maek-operator-1"
	if observed[killed] < observed[left] {
		killed, left = left, killed
	}
	if err := replicas[killed].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, name := range probes {
		since := meta.FindStatusCondition(before[name].Conditions, v1alpha1.CheckHealthy).LastTransitionTime
		if before[name].Observer == killed {
			// Nothing changes, so that nothing would be written for minutes but this.
			forge(t, c, name, func(s *v1alpha1.CheckStatus) {
				meta.FindStatusCondition(s.Conditions, v1alpha1.CheckReady).Reason = "Forged"
			})
			waitFor(t, name.Name+" is taken over", 2*time.Minute, func() bool { return statusOf(t, c, name).Observer == left })
		}
		status := waitForConditions(t, c, name, none, time.Minute)
		if got := meta.FindStatusCondition(status.Conditions, v1alpha1.CheckHealthy).LastTransitionTime; !got.Equal(&since) || len(status.Transitions) != len(before[name].Transitions) {
			t.Errorf("%s: unhealthy since %v with %+v, was since %v with %+v", name.Name, got, status.Transitions, since, before[name].Transitions)
		}
	}
	// The runs that went on are those that were begun: their pods end, and so do they.
	for _, name := range pods {
		of := podsOf(t, c, namespace)[name.Name]
		if len(of) != 1 {
			t.Fatalf("%s has %d pods", name.Name, len(of))
		}
		of[0].Status.Phase = corev1.PodSucceeded
		of[0].Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Image: "none", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{FinishedAt: metav1.Now(), StartedAt: metav1.Now()},
		}}}
		if err := c.Status().Update(t.Context(), &of[0]); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range pods {
		if status := waitForConditions(t, c, name, green, 2*time.Minute); status.Observer != left {
			t.Errorf("%s was told of by %s", name.Name, status.Observer)
		}
	}
	for name, of := range podsOf(t, c, namespace) {
		if len(of) > 1 {
			t.Errorf("%s has %d pods", name, len(of))
		}
	}
	toldOnce(t, c, namespace)
}
