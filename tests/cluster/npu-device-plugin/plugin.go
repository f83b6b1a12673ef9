package main

import (
	"context"
	"fmt"
	"os"

	"k8s.io/klog/v2"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// plugin answers the kubelet.
type plugin struct {
	pluginapi.UnimplementedDevicePluginServer

	health    *health
	mode      string
	listening string // a file's path
}

// GetDevicePluginOptions says that the plugin wants no further calls.
func (p *plugin) GetDevicePluginOptions(context.Context, *pluginapi.Empty) (*pluginapi.DevicePluginOptions, error) {
	return &pluginapi.DevicePluginOptions{}, nil
}

// ListAndWatch sends all devices, and again whenever the health of one changes. While the kubelet
// listens, there is a file that says so.
func (p *plugin) ListAndWatch(_ *pluginapi.Empty, stream pluginapi.DevicePlugin_ListAndWatchServer) error {
	defer os.Remove(p.listening)
	for {
		devices, changed := p.health.current()
		if err := stream.Send(&pluginapi.ListAndWatchResponse{Devices: devices}); err != nil {
			return err
		}
		if err := os.WriteFile(p.listening, nil, 0o644); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

// Allocate says what the containers need to use the devices that the kubelet has chosen.
func (p *plugin) Allocate(_ context.Context, request *pluginapi.AllocateRequest) (*pluginapi.AllocateResponse, error) {
	answer := &pluginapi.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		for _, id := range container.DevicesIds {
			if !p.health.has(id) {
				return nil, fmt.Errorf("plugin doesn't have device %s", id)
			}
		}
		allocated, err := allocation(p.mode, container.DevicesIds)
		if err != nil {
			return nil, err
		}
		klog.InfoS("Allocated", "devices", container.DevicesIds)
		answer.ContainerResponses = append(answer.ContainerResponses, allocated)
	}
	return answer, nil
}
