package main

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
)

const (
	podResourcesSocket = "unix:///var/lib/kubelet/pod-resources/kubelet.sock"

	// What MindCluster's device plugin writes on a pod: the devices that the kubelet chose, the
	// ones mounted (others only where Volcano schedules), and what a rank table is made from.
	keptDevices   = "huawei.com/kltDev"
	realDevices   = "huawei.com/AscendReal"
	configuration = "ascend.kubectl.kubernetes.io/ascend-910-configuration"

	pause   = time.Second
	timeout = 10 * time.Second
)

// labelNode writes the labels on the node once the kubelet has registered it.
func labelNode(ctx context.Context, client kubernetes.Interface, node string, labels map[string]string) error {
	patch := metadataPatch("labels", labels)
	return every(ctx, func(ctx context.Context) bool {
		_, err := client.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil {
			klog.InfoS("The node can't be labelled yet", "reason", err)
		}
		return err == nil
	})
}

// annotatePods writes on each pod with devices which ones it has, until ctx ends. The kubelet does
// not tell a plugin whom an allocation is for; its list of pods' resources, read again and again, does.
func annotatePods(ctx context.Context, client kubernetes.Interface, resource string) error {
	connection, err := grpc.NewClient(podResourcesSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	lister := podresources.NewPodResourcesListerClient(connection)
	known := map[types.NamespacedName]string{}
	return every(ctx, func(ctx context.Context) bool {
		list, err := lister.List(ctx, &podresources.ListPodResourcesRequest{})
		if err != nil {
			klog.InfoS("The kubelet does not list the pods' resources", "reason", err)
			return false
		}
		current := map[types.NamespacedName]string{}
		for _, pod := range list.PodResources {
			name := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
			devices := devicesOf(pod, resource)
			if len(devices) == 0 {
				continue
			}
			if known[name] == strings.Join(devices, ",") || annotate(ctx, client, name, devices) {
				current[name] = strings.Join(devices, ",")
			}
		}
		known = current
		return false
	})
}

func devicesOf(pod *podresources.PodResources, resource string) []string {
	var devices []string
	for _, container := range pod.Containers {
		for _, held := range container.Devices {
			if held.ResourceName == resource {
				devices = append(devices, held.DeviceIds...)
			}
		}
	}
	slices.SortFunc(devices, func(a, b string) int {
		if len(a) != len(b) { // Ascend910-9 before Ascend910-10
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return devices
}

func annotate(ctx context.Context, client kubernetes.Interface, pod types.NamespacedName, devices []string) bool {
	ranks, err := rankTableSource(pod.Name, devices)
	if err != nil {
		klog.ErrorS(err, "Not annotated", "pod", pod)
		return false
	}
	patch := metadataPatch("annotations", map[string]string{
		keptDevices:   strings.Join(devices, ","),
		realDevices:   strings.Join(devices, ","),
		configuration: ranks,
	})
	_, err = client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		klog.InfoS("Not annotated yet", "pod", pod, "reason", err)
	}
	return err == nil
}

// rankTableSource is the pod's devices with the addresses of their network ports, as JSON. The
// addresses are from a range that is for documentation (RFC 5737): there are no ports.
func rankTableSource(pod string, devices []string) (string, error) {
	type device struct {
		ID string `json:"device_id"`
		IP string `json:"device_ip"`
	}
	source := struct {
		Pod     string   `json:"pod_name"`
		Server  string   `json:"server_id"`
		Devices []device `json:"devices"`
	}{Pod: pod, Server: "192.0.2.1"}
	ids, err := physicalIDs(devices)
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		address := net.IPv4(192, 0, 2, byte(100+id)).String()
		source.Devices = append(source.Devices, device{ID: strconv.Itoa(id), IP: address})
	}
	text, err := json.Marshal(source)
	return string(text), err
}

// metadataPatch is a merge patch that sets entries of one map in an object's metadata.
func metadataPatch(field string, entries map[string]string) []byte {
	patch := map[string]map[string]map[string]string{"metadata": {field: entries}}
	text, _ := json.Marshal(patch) // strings in maps always can be
	return text
}

// every calls try now and then, each time with a limit, until it returns true or ctx ends.
func every(ctx context.Context, try func(context.Context) bool) error {
	for {
		limited, cancel := context.WithTimeout(ctx, timeout)
		done := try(limited)
		cancel()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}
