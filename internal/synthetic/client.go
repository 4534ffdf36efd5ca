package synthetic

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kinds that scenarios read and write.
var kinds = []struct {
	group func(*runtime.Scheme) error
	in    string
	names map[string]meta.RESTScope
}{
	{corev1.AddToScheme, corev1.SchemeGroupVersion.String(), map[string]meta.RESTScope{
		"ConfigMap": meta.RESTScopeNamespace, "Endpoints": meta.RESTScopeNamespace, "Event": meta.RESTScopeNamespace,
		"Namespace": meta.RESTScopeRoot, "Node": meta.RESTScopeRoot, "PersistentVolume": meta.RESTScopeRoot,
		"PersistentVolumeClaim": meta.RESTScopeNamespace, "Pod": meta.RESTScopeNamespace,
		"ResourceQuota": meta.RESTScopeNamespace, "Secret": meta.RESTScopeNamespace, "Service": meta.RESTScopeNamespace,
		"ServiceAccount": meta.RESTScopeNamespace,
	}},
	{appsv1.AddToScheme, appsv1.SchemeGroupVersion.String(), map[string]meta.RESTScope{
		"DaemonSet": meta.RESTScopeNamespace, "Deployment": meta.RESTScopeNamespace,
		"ReplicaSet": meta.RESTScopeNamespace, "StatefulSet": meta.RESTScopeNamespace,
	}},
	{batchv1.AddToScheme, batchv1.SchemeGroupVersion.String(), map[string]meta.RESTScope{
		"CronJob": meta.RESTScopeNamespace, "Job": meta.RESTScopeNamespace,
	}},
	{discoveryv1.AddToScheme, discoveryv1.SchemeGroupVersion.String(), map[string]meta.RESTScope{
		"EndpointSlice": meta.RESTScopeNamespace,
	}},
	{storagev1.AddToScheme, storagev1.SchemeGroupVersion.String(), map[string]meta.RESTScope{
		"CSIDriver": meta.RESTScopeRoot, "CSINode": meta.RESTScopeRoot, "StorageClass": meta.RESTScopeRoot,
		"VolumeAttachment": meta.RESTScopeRoot,
	}},
}

// NewClient returns a client for the kinds that scenarios read and write. It knows them by itself: a run
// of a few requests is not to begin with asking the API server for everything that it serves.
func NewClient(config *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	mapper := meta.NewDefaultRESTMapper(nil)
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	for _, k := range kinds {
		if err := k.group(scheme); err != nil {
			return nil, fmt.Errorf("registering %s: %w", k.in, err)
		}
		for _, gv := range scheme.PrioritizedVersionsAllGroups() {
			if gv.String() != k.in {
				continue
			}
			for name, scope := range k.names {
				mapper.Add(gv.WithKind(name), scope)
			}
		}
	}
	config = rest.CopyConfig(config)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return c, nil
}
