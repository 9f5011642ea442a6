// Storage serves the persistent volumes of a test cluster's only node: each is a directory.
// They are `local` volumes, since those of `hostPath` ignore the fsGroup of a pod and a
// restricted pod could not write to them. A claim that grows is granted at once.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// The provisioner that the cluster's storage class names.
const name = "watchkeeper.test/directory"

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the cluster and who asks")
	directory := flag.String("directory", "", "where the volumes are")
	node := flag.String("node", "", "the node that has them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *kubeconfig, directories{root: *directory, node: *node}); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, kubeconfig string, volumes directories) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := grow(ctx, client); err != nil {
		return err
	}
	provisioner := controller.NewProvisionController(ctx, client, name, volumes,
		controller.LeaderElection(false), controller.ResyncPeriod(time.Minute))
	provisioner.Run(ctx)
	return nil
}

// Volumes as directories below root.
type directories struct{ root, node string }

// Provision makes the directory of a new volume.
func (d directories) Provision(_ context.Context, options controller.ProvisionOptions) (*core.PersistentVolume, controller.ProvisioningState, error) {
	path := filepath.Join(d.root, options.PVName)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: options.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			AccessModes:                   options.PVC.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: options.PVC.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeSource:        core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{
				MatchExpressions: []core.NodeSelectorRequirement{{
					Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{d.node},
				}},
			}}}},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete removes the directory of a volume that is no longer claimed.
func (d directories) Delete(_ context.Context, volume *core.PersistentVolume) error {
	return os.RemoveAll(filepath.Join(d.root, volume.Name))
}

// Gives each claim of ours that asks for more what it asks for, as the resizer of a real storage would.
func grow(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, time.Minute)
	handle := func(object any) {
		claim, ok := object.(*core.PersistentVolumeClaim)
		if !ok || claim.Status.Phase != core.ClaimBound || claim.Annotations["volume.kubernetes.io/storage-provisioner"] != name {
			return
		}
		wanted, given := claim.Spec.Resources.Requests[core.ResourceStorage], claim.Status.Capacity[core.ResourceStorage]
		if wanted.Cmp(given) <= 0 {
			return
		}
		volume := fmt.Sprintf(`{"spec":{"capacity":{"storage":%q}}}`, wanted.String())
		status := fmt.Sprintf(`{"status":{"capacity":{"storage":%q}}}`, wanted.String())
		_, err := client.CoreV1().PersistentVolumes().Patch(ctx, claim.Spec.VolumeName, types.MergePatchType, []byte(volume), meta.PatchOptions{})
		if err == nil {
			_, err = client.CoreV1().PersistentVolumeClaims(claim.Namespace).Patch(ctx, claim.Name, types.MergePatchType, []byte(status), meta.PatchOptions{}, "status")
		}
		if err != nil {
			// The next resync tries again.
			log.Printf("growing %s/%s: %v", claim.Namespace, claim.Name, err)
		}
	}
	_, err := factory.Core().V1().PersistentVolumeClaims().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    handle,
		UpdateFunc: func(_, object any) { handle(object) },
	})
	factory.Start(ctx.Done())
	return err
}
