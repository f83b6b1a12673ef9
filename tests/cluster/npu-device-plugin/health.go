package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// health knows the devices and which of them are unhealthy: those with a file of their name in a
// folder. So that it is turned by `touch` and `rm`, and outlives the plugin.
type health struct {
	folder  string
	watcher *fsnotify.Watcher

	mu      sync.Mutex
	devices []*pluginapi.Device
	changed chan struct{} // closed at the next change
}

func newHealth(folder string, ids []string) (*health, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("--state: %w", err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", folder, err)
	}
	if err := watcher.Add(folder); err != nil {
		return nil, fmt.Errorf("watching %s: %w", folder, err)
	}
	h := &health{folder: folder, watcher: watcher, changed: make(chan struct{})}
	h.devices = h.read(ids)
	return h, nil
}

// current is every device with its health, and a channel that is closed when that changes.
func (h *health) current() ([]*pluginapi.Device, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.devices, h.changed
}

// has tells whether there is a device of that name.
func (h *health) has(id string) bool {
	devices, _ := h.current()
	return slices.ContainsFunc(devices, func(d *pluginapi.Device) bool { return d.ID == id })
}

// watch follows the folder until ctx ends.
func (h *health) watch(ctx context.Context) error {
	defer h.watcher.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.watcher.Events:
			h.update()
		case err := <-h.watcher.Errors:
			return fmt.Errorf("watching %s: %w", h.folder, err)
		}
	}
}

func (h *health) update() {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]string, len(h.devices))
	for i, device := range h.devices {
		ids[i] = device.ID
	}
	h.devices = h.read(ids)
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *health) read(ids []string) []*pluginapi.Device {
	devices := make([]*pluginapi.Device, len(ids))
	for i, id := range ids {
		devices[i] = &pluginapi.Device{ID: id, Health: pluginapi.Healthy}
		if _, err := os.Stat(filepath.Join(h.folder, id)); err == nil {
			devices[i].Health = pluginapi.Unhealthy
		}
	}
	return devices
}
