package main

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	modeRuntime = "runtime"
	modeDevices = "devices"

	visibleDevices = "ASCEND_VISIBLE_DEVICES"
	runtimeOptions = "ASCEND_RUNTIME_OPTIONS"

	// Shown in place of every device node: it can be opened, and does nothing.
	standIn = "/dev/null"
)

// What every container with an NPU gets beside the NPUs themselves.
var managers = []string{"/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"}

// allocation is the answer for one container (MindCluster's device plugin, pkg/server/plugin.go,
// Allocate). Under Ascend Docker Runtime it is environment alone, from which the runtime's hook
// adds the devices; the options are empty for whole chips. Without it, it is device nodes alone.
func allocation(mode string, devices []string) (*pluginapi.ContainerAllocateResponse, error) {
	ids, err := physicalIDs(devices)
	if err != nil {
		return nil, err
	}
	if mode == modeRuntime {
		return &pluginapi.ContainerAllocateResponse{
			Envs: map[string]string{visibleDevices: joined(ids), runtimeOptions: ""},
		}, nil
	}
	answer := &pluginapi.ContainerAllocateResponse{}
	for _, path := range managers {
		answer.Devices = append(answer.Devices, shown(path))
	}
	for _, id := range ids {
		answer.Devices = append(answer.Devices, shown(fmt.Sprintf("/dev/davinci%d", id)))
	}
	return answer, nil
}

func shown(path string) *pluginapi.DeviceSpec {
	return &pluginapi.DeviceSpec{HostPath: standIn, ContainerPath: path, Permissions: "rw"}
}

// physicalIDs are the numbers in the devices' names, ascending: the kubelet gives them in any order.
func physicalIDs(devices []string) ([]int, error) {
	ids := make([]int, 0, len(devices))
	for _, device := range devices {
		id, err := strconv.Atoi(device[strings.LastIndex(device, "-")+1:])
		if err != nil {
			return nil, fmt.Errorf("device %q: its name must end in -NUMBER", device)
		}
		ids = append(ids, id)
	}
	sort.Ints(ids)
	return ids, nil
}

func joined(ids []int) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.Itoa(id)
	}
	return strings.Join(texts, ",")
}
