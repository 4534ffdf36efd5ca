// Package sharedvolume makes volumes in one folder that every machine of the lab
// has at the same path. A pod finds its data wherever it is started, as with
// network storage.
package sharedvolume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// Name is what a StorageClass names this provisioner by.
const Name = "lab.maek.dev/shared"

// Provisioner makes a folder for each claim.
type Provisioner struct {
	// Root is the folder that volumes are made in. Its path is the same in this
	// process and on the machines.
	Root string
}

var _ controller.Provisioner = Provisioner{}

// Provision implements [controller.Provisioner].
func (p Provisioner) Provision(_ context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	path := filepath.Join(p.Root, options.PVName)
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("making volume %s: %w", options.PVName, err)
	}
	// Pods of any user write to their volume: the kubelet applies no fsGroup to a
	// hostPath.
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("opening volume %s to all users: %w", options.PVName, err)
	}
	reclaim := corev1.PersistentVolumeReclaimDelete
	if options.StorageClass.ReclaimPolicy != nil {
		reclaim = *options.StorageClass.ReclaimPolicy
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: reclaim,
			AccessModes:                   options.PVC.Spec.AccessModes,
			VolumeMode:                    options.PVC.Spec.VolumeMode,
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: options.PVC.Spec.Resources.Requests[corev1.ResourceStorage],
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: path, Type: new(corev1.HostPathDirectory)},
			},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete implements [controller.Provisioner].
func (p Provisioner) Delete(_ context.Context, volume *corev1.PersistentVolume) error {
	if volume.Spec.HostPath == nil || volume.Spec.HostPath.Path != filepath.Join(p.Root, volume.Name) {
		return &controller.IgnoredError{Reason: "its path is not one that this provisioner chose"}
	}
	if err := os.RemoveAll(volume.Spec.HostPath.Path); err != nil {
		return fmt.Errorf("removing volume %s: %w", volume.Name, err)
	}
	return nil
}
