package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/klog/v2"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	kubeletSocket   = "kubelet.sock"
	registerTimeout = 10 * time.Second
	registerPause   = time.Second
)

// serve answers on a socket of the plugin's own in folder and registers it with the kubelet, anew
// each time that the kubelet makes its socket: a kubelet that starts forgets its plugins and
// removes their sockets.
func serve(ctx context.Context, folder, resource string, plugin *plugin) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", folder, err)
	}
	defer watcher.Close()
	if err := watcher.Add(folder); err != nil {
		return fmt.Errorf("watching %s: %w", folder, err)
	}
	for ctx.Err() == nil {
		if err := serveOneKubelet(ctx, watcher, folder, resource, plugin); err != nil {
			return err
		}
	}
	return nil
}

// serveOneKubelet returns when another kubelet has started, or ctx ends.
func serveOneKubelet(ctx context.Context, watcher *fsnotify.Watcher, folder, resource string, plugin *plugin) error {
	endpoint := strings.ToLower(strings.ReplaceAll(resource, "/", "-")) + ".sock"
	socket := filepath.Join(folder, endpoint)
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	pluginapi.RegisterDevicePluginServer(server, plugin)
	go server.Serve(listener) //nolint:errcheck // it ends by Stop
	defer server.Stop()

	retry := time.After(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watcher.Errors:
			return fmt.Errorf("watching %s: %w", folder, err)
		case event := <-watcher.Events:
			if filepath.Base(event.Name) == kubeletSocket && event.Has(fsnotify.Create) {
				return nil
			}
		case <-retry:
			if err := register(ctx, filepath.Join(folder, kubeletSocket), endpoint, resource); err != nil {
				klog.InfoS("The kubelet is not there yet", "reason", err)
				retry = time.After(registerPause)
				continue
			}
			klog.InfoS("Registered with the kubelet", "resource", resource)
		}
	}
}

func register(ctx context.Context, kubelet, endpoint, resource string) error {
	connection, err := grpc.NewClient("unix://"+kubelet, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	_, err = pluginapi.NewRegistrationClient(connection).Register(ctx, &pluginapi.RegisterRequest{
		Version:      pluginapi.Version,
		Endpoint:     endpoint,
		ResourceName: resource,
		Options:      &pluginapi.DevicePluginOptions{},
	})
	return err
}
