package controlplane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// populate makes the clients, and lets the nodes join.
func (w *World) populate(ctx context.Context) error {
	var err error
	if w.Client, err = client.New(w.Config, client.Options{Scheme: runtime.NewScheme()}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	kubelets := rest.CopyConfig(w.Config)
	kubelets.UserAgent = "kubelet/" + kubeletVersion
	if w.clientset, err = kubernetes.NewForConfig(kubelets); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	factory := informers.NewSharedInformerFactory(w.clientset, 0)
	core := factory.Core().V1()
	w.podLister, w.nodeLister = core.Pods().Lister(), core.Nodes().Lister()
	w.claimLister, w.volumeLister = core.PersistentVolumeClaims().Lister(), core.PersistentVolumes().Lister()
	w.configMapLister, w.secretLister = core.ConfigMaps().Lister(), core.Secrets().Lister()
	factory.Start(ctx.Done())
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return fmt.Errorf("listing %s: no answer", kind)
		}
	}
	if err := w.serveMetrics(ctx); err != nil {
		return err
	}
	w.living.Go(func() { w.supervise(ctx) })
	w.Nodes = map[string]*Node{}
	names := []string{"cp", "w1", "w2"}
	if w.options.Members > 1 {
		names = append(names, "cp2", "cp3")
	}
	for _, name := range names {
		n, err := w.newNode(ctx, name)
		if err != nil {
			return err
		}
		w.Nodes[name] = n
		w.living.Go(func() { n.run(ctx) })
	}
	return nil
}

func (w *World) newNode(ctx context.Context, name string) (*Node, error) {
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: w.clientset.CoreV1().Events("")})
	n := &Node{
		Name: name, world: w, address: w.address(name), started: time.Now(), changed: make(chan struct{}, 1),
		recorder: broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: name}),
		faults:   map[Fault]bool{}, pods: map[types.UID]*pod{}, manifest: map[string]bool{},
	}
	for component, machine := range w.machines {
		if machine == name {
			n.manifest[component] = true
		}
	}
	return n, n.serve(ctx)
}

// keys of a ConfigMap or a Secret; false where it does not exist.
func (w *World) keys(kind, namespace, name string) ([]string, bool) {
	if kind == "secret" {
		s, err := w.secretLister.Secrets(namespace).Get(name)
		if err != nil {
			return nil, false
		}
		return slices.Collect(maps.Keys(s.Data)), true
	}
	c, err := w.configMapLister.ConfigMaps(namespace).Get(name)
	if err != nil {
		return nil, false
	}
	return slices.Concat(slices.Collect(maps.Keys(c.Data)), slices.Collect(maps.Keys(c.BinaryData))), true
}

// Apply makes every object of a manifest, in the order in which they stand there.
func (w *World) Apply(ctx context.Context, manifest string) error {
	for doc := range strings.SplitSeq(manifest, "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			return fmt.Errorf("reading a manifest: %w", err)
		}
		if len(o.Object) == 0 {
			continue
		}
		if err := w.Client.Create(ctx, o, client.FieldOwner("kubectl-client-side-apply")); err != nil {
			return fmt.Errorf("making %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// Baseline makes what every cluster has, CoreDNS and metrics-server, and the application, whose
// manifest the lab has, in a namespace.
func (w *World) Baseline(ctx context.Context, application, namespace string) error {
	manifest := strings.NewReplacer("${DNS}", w.ServiceAddress(10), "${METRICS}", w.ServiceAddress(20), "${SHOP}", namespace).Replace(system)
	if err := w.Apply(ctx, manifest); err != nil {
		return err
	}
	named := strings.NewReplacer("namespace: shop\n", "namespace: "+namespace+"\n", "kind: Namespace\nmetadata:\n  name: shop\n", "kind: Namespace\nmetadata:\n  name: "+namespace+"\n")
	if err := w.Apply(ctx, named.Replace(application)); err != nil {
		return err
	}
	return w.defaultServiceAccount(ctx, namespace)
}

// defaultServiceAccount waits until the controller-manager works.
func (w *World) defaultServiceAccount(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := w.clientset.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			return nil
		}
		if !apierrors.IsNotFound(err) && ctx.Err() != nil {
			return fmt.Errorf("waiting for the controller-manager: %w", errors.Join(ctx.Err(), err))
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// system is what every cluster has. Volumes of the class shared are made by hand.
const system = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: shared
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
reclaimPolicy: Retain
volumeBindingMode: Immediate
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: shared-1}
spec:
  capacity: {storage: 64Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: shared
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: ${SHOP}, name: data-db-0}
  hostPath: {path: /srv/shared/1}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: coredns, namespace: kube-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
data:
  Corefile: |
    .:53 {
        errors
        health {
           lameduck 5s
        }
        ready
        kubernetes cluster.local in-addr.arpa ip6.arpa {
           pods insecure
           fallthrough in-addr.arpa ip6.arpa
           ttl 30
        }
        prometheus :9153
        forward . /etc/resolv.conf {
           max_concurrent 1000
        }
        cache 30
        loop
        reload
        loadbalance
    }
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  replicas: 2
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1}}
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns}}
    spec:
      serviceAccountName: coredns
      priorityClassName: system-cluster-critical
      dnsPolicy: Default
      tolerations:
      - {key: CriticalAddonsOnly, operator: Exists}
      - {key: node-role.kubernetes.io/control-plane, effect: NoSchedule}
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: ScheduleAnyway
        labelSelector: {matchLabels: {k8s-app: kube-dns}}
      containers:
      - name: coredns
        image: registry.k8s.io/coredns/coredns:v1.14.2
        args: [-conf, /etc/coredns/Corefile]
        resources: {limits: {memory: 170Mi}, requests: {cpu: 100m, memory: 70Mi}}
        ports:
        - {name: dns, containerPort: 53, protocol: UDP}
        - {name: dns-tcp, containerPort: 53, protocol: TCP}
        - {name: metrics, containerPort: 9153, protocol: TCP}
        - {name: liveness-probe, containerPort: 8080, protocol: TCP}
        - {name: readiness-probe, containerPort: 8181, protocol: TCP}
        livenessProbe: {httpGet: {path: /health, port: liveness-probe}, initialDelaySeconds: 60, timeoutSeconds: 5, failureThreshold: 5}
        readinessProbe: {httpGet: {path: /ready, port: readiness-probe}}
        volumeMounts: [{name: config-volume, mountPath: /etc/coredns, readOnly: true}]
      volumes:
      - name: config-volume
        configMap: {name: coredns, items: [{key: Corefile, path: Corefile}]}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns, kubernetes.io/cluster-service: "true", kubernetes.io/name: CoreDNS}}
spec:
  clusterIP: ${DNS}
  selector: {k8s-app: kube-dns}
  ports:
  - {name: dns, port: 53, protocol: UDP, targetPort: dns}
  - {name: dns-tcp, port: 53, protocol: TCP, targetPort: dns-tcp}
  - {name: metrics, port: 9153, protocol: TCP, targetPort: metrics}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: metrics-server, namespace: kube-system, labels: {k8s-app: metrics-server}}
spec:
  selector: {matchLabels: {k8s-app: metrics-server}}
  template:
    metadata: {labels: {k8s-app: metrics-server}}
    spec:
      priorityClassName: system-cluster-critical
      containers:
      - name: metrics-server
        image: registry.k8s.io/metrics-server/metrics-server:v0.9.0
        args: [--secure-port=10250, --kubelet-insecure-tls]
        resources: {requests: {cpu: 100m, memory: 200Mi}}
        ports: [{name: https, containerPort: 10250}]
        readinessProbe: {httpGet: {path: /readyz, port: https, scheme: HTTPS}, initialDelaySeconds: 5}
---
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system, labels: {k8s-app: metrics-server}}
spec:
  clusterIP: ${METRICS}
  selector: {k8s-app: metrics-server}
  ports: [{name: https, port: 443, targetPort: https}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  insecureSkipTLSVerify: true
  groupPriorityMinimum: 100
  versionPriority: 100
  service: {name: metrics-server, namespace: kube-system}
`
