package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	deviceInfoNamespace = "kube-system"
	deviceInfoPrefix    = "mindx-dl-deviceinfo-"

	// What is said of every device that is unhealthy here: a fault for which MindCluster's plugin
	// would reset the chip, and a code of its table (UCE of the HBM).
	faultHandling = "RestartNPU"
	faultCode     = "80E01801"
)

// deviceInfo is what MindCluster's device plugin keeps in the ConfigMap of a node, under
// DeviceInfoCfg (pkg/common/proto.go, NodeDeviceInfoCache): lists of devices as text, and the
// faults as JSON inside the JSON.
type deviceInfo struct {
	DeviceInfo struct {
		DeviceList map[string]string
		UpdateTime int64
	}
	SuperPodID  int32
	ServerIndex int32
	CheckCode   string
}

type deviceFault struct {
	FaultType            string                  `json:"fault_type"`
	NPUName              string                  `json:"npu_name"`
	LargeModelFaultLevel string                  `json:"large_model_fault_level"`
	FaultLevel           string                  `json:"fault_level"`
	FaultHandling        string                  `json:"fault_handling"`
	FaultCode            string                  `json:"fault_code"`
	TimeAndLevel         map[string]timeAndLevel `json:"fault_time_and_level_map"`
}

type timeAndLevel struct {
	FaultTime  int64  `json:"fault_time"`
	FaultLevel string `json:"fault_level"`
}

// tellDevices keeps the node's ConfigMap at what the devices are, until ctx ends.
func tellDevices(ctx context.Context, client kubernetes.Interface, node, resource string, health *health) error {
	for ctx.Err() == nil {
		devices, changed := health.current()
		patch, err := deviceInfoPatch(node, resource, devices, time.Now())
		if err != nil {
			return err
		}
		err = every(ctx, func(ctx context.Context) bool {
			_, err := client.CoreV1().ConfigMaps(deviceInfoNamespace).Patch(
				ctx, deviceInfoPrefix+node, types.ApplyPatchType, patch,
				metav1.PatchOptions{FieldManager: "npu-device-plugin"})
			if err != nil {
				klog.InfoS("The devices can't be told yet", "reason", err)
			}
			return err == nil
		})
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}

func deviceInfoPatch(node, resource string, devices []*pluginapi.Device, now time.Time) ([]byte, error) {
	info, err := describe(resource, devices, now)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata": map[string]any{
			"name":      deviceInfoPrefix + node,
			"namespace": deviceInfoNamespace,
			"labels":    map[string]string{"mx-consumer-cim": "true"},
		},
		"data": map[string]string{"DeviceInfoCfg": info, "ManuallySeparateNPU": ""},
	})
}

func describe(resource string, devices []*pluginapi.Device, now time.Time) (string, error) {
	var healthy, unhealthy []string
	faults := []deviceFault{}
	for _, device := range devices {
		if device.Health == pluginapi.Healthy {
			healthy = append(healthy, device.ID)
			continue
		}
		unhealthy = append(unhealthy, device.ID)
		faults = append(faults, deviceFault{
			FaultType:            "CardUnhealthy",
			NPUName:              device.ID,
			LargeModelFaultLevel: faultHandling,
			FaultLevel:           faultHandling,
			FaultHandling:        faultHandling,
			FaultCode:            faultCode,
			TimeAndLevel: map[string]timeAndLevel{
				faultCode: {FaultTime: now.UnixMilli(), FaultLevel: faultHandling},
			},
		})
	}
	listed, err := json.Marshal(faults)
	if err != nil {
		return "", err
	}
	info := deviceInfo{SuperPodID: -2, ServerIndex: -2}
	info.DeviceInfo.UpdateTime = now.Unix()
	info.DeviceInfo.DeviceList = map[string]string{
		resource:                       strings.Join(healthy, ","),
		resource + "-Unhealthy":        strings.Join(unhealthy, ","),
		resource + "-NetworkUnhealthy": "",
		resource + "-Recovering":       "",
		resource + "-Fault":            string(listed),
	}
	inner, err := json.Marshal(info.DeviceInfo)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(inner)
	info.CheckCode = hex.EncodeToString(sum[:])
	text, err := json.Marshal(info)
	return string(text), err
}
