package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

func TestRuntimeModeGivesEnvironmentAlone(t *testing.T) {
	answer, err := allocation(modeRuntime, []string{"Ascend910-10", "Ascend910-2"})
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Envs[visibleDevices]; got != "2,10" {
		t.Errorf("%s = %q, want 2,10", visibleDevices, got)
	}
	if options, set := answer.Envs[runtimeOptions]; !set || options != "" {
		t.Errorf("%s = %q (set: %t), want it set and empty", runtimeOptions, options, set)
	}
	if len(answer.Devices) != 0 {
		t.Errorf("devices %v, want none: the runtime's hook adds them", answer.Devices)
	}
}

func TestDevicesModeGivesDeviceNodesAlone(t *testing.T) {
	answer, err := allocation(modeDevices, []string{"Ascend910-3"})
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{}
	for _, device := range answer.Devices {
		paths = append(paths, device.ContainerPath)
	}
	want := []string{"/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc", "/dev/davinci3"}
	if !slices.Equal(paths, want) {
		t.Errorf("devices %v, want %v", paths, want)
	}
	if len(answer.Envs) != 0 {
		t.Errorf("environment %v, want none", answer.Envs)
	}
}

func TestADeviceWithoutANumberIsRefused(t *testing.T) {
	if _, err := allocation(modeRuntime, []string{"Ascend910"}); err == nil {
		t.Error("no error")
	}
}

func TestHealthFollowsTheFolder(t *testing.T) {
	folder := t.TempDir()
	h, err := newHealth(folder, deviceIDs("Ascend910", 2))
	if err != nil {
		t.Fatal(err)
	}
	go h.watch(t.Context())
	_, changed := h.current()
	mark(t, folder, "Ascend910-1")
	<-changed
	devices, _ := h.current()
	if devices[0].Health != pluginapi.Healthy || devices[1].Health != pluginapi.Unhealthy {
		t.Errorf("health %v", devices)
	}
}

func TestAnUnhealthyDeviceIsToldWithItsFault(t *testing.T) {
	devices := []*pluginapi.Device{
		{ID: "Ascend910-0", Health: pluginapi.Healthy},
		{ID: "Ascend910-1", Health: pluginapi.Unhealthy},
	}
	text, err := describe("huawei.com/Ascend910", devices, time.Unix(1718702470, 0))
	if err != nil {
		t.Fatal(err)
	}
	var info deviceInfo
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		t.Fatal(err)
	}
	list := info.DeviceInfo.DeviceList
	if list["huawei.com/Ascend910"] != "Ascend910-0" || list["huawei.com/Ascend910-Unhealthy"] != "Ascend910-1" {
		t.Errorf("lists %v", list)
	}
	var faults []deviceFault
	if err := json.Unmarshal([]byte(list["huawei.com/Ascend910-Fault"]), &faults); err != nil {
		t.Fatal(err)
	}
	if len(faults) != 1 || faults[0].NPUName != "Ascend910-1" || faults[0].FaultHandling != faultHandling {
		t.Errorf("faults %v", faults)
	}
	if info.CheckCode == "" || info.DeviceInfo.UpdateTime != 1718702470 {
		t.Errorf("info %v", info)
	}
}

func mark(t *testing.T, folder, device string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, device), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}
