package sharedvolume

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func claim(size string, modes ...corev1.PersistentVolumeAccessMode) controller.ProvisionOptions {
	return controller.ProvisionOptions{
		PVName:       "pvc-1",
		StorageClass: &storagev1.StorageClass{},
		PVC: &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: modes,
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
			},
		}},
	}
}

func TestAVolumeIsAFolderThatAnyUserCanWriteTo(t *testing.T) {
	p := Provisioner{Root: t.TempDir()}
	volume, state, err := p.Provision(t.Context(), claim("64Mi", corev1.ReadWriteMany))
	if err != nil || state != controller.ProvisioningFinished {
		t.Fatalf("state = %s, err = %v", state, err)
	}
	info, err := os.Stat(filepath.Join(p.Root, "pvc-1"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o777 {
		t.Errorf("mode = %s, want rwxrwxrwx", info.Mode())
	}
	if diff := cmp.Diff([]corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}, volume.Spec.AccessModes); diff != "" {
		t.Errorf("access modes, -want +got:\n%s", diff)
	}
	if got := volume.Spec.Capacity.Storage().String(); got != "64Mi" {
		t.Errorf("capacity = %s, want 64Mi", got)
	}
	if volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		t.Errorf("reclaim policy = %s, want Delete", volume.Spec.PersistentVolumeReclaimPolicy)
	}
}

func TestTheReclaimPolicyIsTheClasses(t *testing.T) {
	options := claim("1Mi")
	options.StorageClass.ReclaimPolicy = new(corev1.PersistentVolumeReclaimRetain)
	volume, _, err := Provisioner{Root: t.TempDir()}.Provision(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain {
		t.Errorf("reclaim policy = %s, want Retain", volume.Spec.PersistentVolumeReclaimPolicy)
	}
}

func TestDeletingAVolumeRemovesItsFolder(t *testing.T) {
	p := Provisioner{Root: t.TempDir()}
	volume, _, err := p.Provision(t.Context(), claim("1Mi"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(volume.Spec.HostPath.Path, "orders"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Twice: a deletion that was cut short is done again.
	for range 2 {
		if err := p.Delete(t.Context(), volume); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(p.Root); err != nil || len(left) != 0 {
		t.Errorf("left = %v, err = %v", left, err)
	}
}

func TestOnlyFoldersMadeHereAreRemoved(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	tests := map[string]corev1.PersistentVolumeSource{
		"a folder elsewhere":       {HostPath: &corev1.HostPathVolumeSource{Path: elsewhere}},
		"the root itself":          {HostPath: &corev1.HostPathVolumeSource{Path: root}},
		"a volume of another kind": {NFS: &corev1.NFSVolumeSource{Server: "a", Path: "/"}},
	}
	for name, source := range tests {
		t.Run(name, func(t *testing.T) {
			volume := &corev1.PersistentVolume{
				ObjectMeta: metav1.ObjectMeta{Name: "pvc-1"},
				Spec:       corev1.PersistentVolumeSpec{PersistentVolumeSource: source},
			}
			err := Provisioner{Root: root}.Delete(t.Context(), volume)
			if _, ignored := err.(*controller.IgnoredError); !ignored { //nolint:errorlint // the library looks at the error itself, not at what it wraps
				t.Errorf("err = %v, want an IgnoredError", err)
			}
			for _, dir := range []string{root, elsewhere} {
				if _, err := os.Stat(dir); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
