package live

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/internal/snapshot"
)

// acceptMetadata asks for objects' metadata instead of the objects
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches).
const acceptMetadata = runtime.ContentTypeProtobuf + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1," +
	runtime.ContentTypeJSON + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// MetadataOnly tells for which kinds the contents never leave the API server: rules ask whether
// such an object exists and who wrote it, and its values are none of our business.
func MetadataOnly(k snapshot.Kind) bool {
	return k == snapshot.KindOf[*corev1.ConfigMap]() || k == snapshot.KindOf[*corev1.Secret]()
}

// FromMetadata makes an object of a metadata-only kind that has nothing else.
func FromMetadata(k snapshot.Kind, m *metav1.PartialObjectMetadata) snapshot.Object {
	if k == snapshot.KindOf[*corev1.Secret]() {
		return &corev1.Secret{ObjectMeta: m.ObjectMeta}
	}
	return &corev1.ConfigMap{ObjectMeta: m.ObjectMeta}
}
