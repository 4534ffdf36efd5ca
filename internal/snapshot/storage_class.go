package snapshot

import storagev1 "k8s.io/api/storage/v1"

// The annotations that make a StorageClass the one of claims that name none
// (k8s.io/kubernetes/pkg/volume/util/storageclass.go).
const (
	defaultClassAnnotation     = "storageclass.kubernetes.io/is-default-class"
	betaDefaultClassAnnotation = "storageclass.beta.kubernetes.io/is-default-class"
)

// IsDefaultClass tells whether a StorageClass is taken for claims that name none.
func IsDefaultClass(c *storagev1.StorageClass) bool {
	return c.Annotations[defaultClassAnnotation] == "true" || c.Annotations[betaDefaultClassAnnotation] == "true"
}
