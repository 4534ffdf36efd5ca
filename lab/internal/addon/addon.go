// Package addon holds what is installed in a lab cluster once it runs, as
// Kubernetes manifests. CoreDNS is not among it: kubeadm installs its own.
package addon

import (
	"bytes"
	_ "embed" // the manifests
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

var (
	//go:embed manifests/metrics-server.yaml
	metricsServer []byte
	//go:embed manifests/shared-storage.yaml
	sharedStorage []byte
	//go:embed manifests/shop.yaml
	shop []byte
)

// Addon is something to install.
type Addon struct {
	// Name is what people call it.
	Name string
	// Manifest is a YAML stream, in an order in which it can be applied.
	Manifest []byte
}

// All returns the addons in the order in which they are to be installed.
func All() []Addon {
	return []Addon{
		{Name: "shared-storage", Manifest: sharedStorage},
		{Name: "metrics-server", Manifest: metricsServer},
		{Name: "shop", Manifest: shop},
	}
}

// Workload names a Deployment or StatefulSet.
type Workload struct {
	Kind, Namespace, Name string
}

// Workloads returns the addon's Deployments and StatefulSets: what has to be
// rolled out before the addon can be used.
func (a Addon) Workloads() ([]Workload, error) {
	var workloads []Workload
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(a.Manifest), len(a.Manifest))
	for {
		var object metav1.PartialObjectMetadata
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return workloads, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the manifest of %s: %w", a.Name, err)
		}
		if object.Kind == "Deployment" || object.Kind == "StatefulSet" {
			workloads = append(workloads, Workload{Kind: object.Kind, Namespace: object.Namespace, Name: object.Name})
		}
	}
}

// LocalClass is the StorageClass of volumes made by [LocalVolume].
const LocalClass = "local"

// LocalVolume returns the manifest of a volume that exists on one machine only,
// with its StorageClass. The folder has to be there before a pod uses the volume.
func LocalVolume(name, node, folder string, size resource.Quantity) ([]byte, error) {
	class := &storagev1.StorageClass{
		TypeMeta:    metav1.TypeMeta{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass"},
		ObjectMeta:  metav1.ObjectMeta{Name: LocalClass},
		Provisioner: "kubernetes.io/no-provisioner",
		// Only a pod's node decides which local volume it can have.
		VolumeBindingMode: new(storagev1.VolumeBindingWaitForFirstConsumer),
	}
	volume := &corev1.PersistentVolume{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName:              LocalClass,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: size},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: folder}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{
						Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node},
					}},
				}},
			}},
		},
	}
	var manifest []byte
	for _, object := range []any{class, volume} {
		content, err := sigsyaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("encoding local volume %s: %w", name, err)
		}
		manifest = append(append(manifest, "---\n"...), content...)
	}
	return manifest, nil
}
