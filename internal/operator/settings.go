package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

const (
	// rereadEvery is how often the configuration file is looked at. The kubelet brings changes of a
	// ConfigMap within a minute or so, by exchanging links that a watch of the file would lose.
	rereadEvery = 5 * time.Second
	// maxConfig is how large a ConfigMap can be.
	maxConfig = 1 << 20
)

// readSettings reads the configuration for the first time, and says what in it cannot be used.
func (o *Operator) readSettings() error {
	file, err := readConfig(o.o.ConfigPath)
	if err != nil {
		return err
	}
	o.configuration = file
	o.applySettings(file)
	return nil
}

// Settings that hold now.
func (o *Operator) Settings() kuberhealthy.Settings { return *o.settings.Load() }

func (o *Operator) applySettings(file []byte) {
	settings, warnings := kuberhealthy.ReadSettings(file, o.o.Getenv)
	for _, w := range warnings {
		o.o.Log.Warn("the configuration cannot be followed in all", "warning", w)
	}
	if before := o.settings.Load(); before != nil && before.Namespace != settings.Namespace {
		// What is watched is chosen when the operator starts.
		settings.Namespace = before.Namespace
	}
	o.settings.Store(&settings)
	if o.o.Level != nil {
		o.o.Level.Set(settings.LogLevel)
	}
}

// followSettings takes up changes of the configuration file until ctx ends. A file that vanishes or
// cannot be read changes nothing.
func (o *Operator) followSettings(ctx context.Context) error {
	ticker := o.o.Clock.NewTicker(rereadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
		file, err := readConfig(o.o.ConfigPath)
		if err != nil || len(file) == 0 || bytes.Equal(file, o.configuration) {
			continue
		}
		o.configuration = file
		o.o.Log.Info("the configuration file changed", "path", o.o.ConfigPath)
		o.applySettings(file)
		o.engine.Wake()
	}
}

// readConfig reads the file; one that is not there is empty.
func readConfig(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfig))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return text, nil
}
