package shop

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// maxItem bounds the name of an item, in bytes, and maxItems how many different
// ones are kept: the file stays small however long the shop runs.
const (
	maxItem  = 64
	maxItems = 1000
)

// store counts orders by item and keeps the counts in a file.
type store struct {
	path string

	mu     sync.Mutex
	counts map[string]int
}

// openStore reads the file in dir and writes it back: a folder that cannot be
// written to is found at the start and not with the first order.
func openStore(dir string) (*store, error) {
	s := &store{path: filepath.Join(dir, "orders.json"), counts: map[string]int{}}
	content, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("reading orders: %w", err)
	default:
		if err := json.Unmarshal(content, &s.counts); err != nil {
			return nil, fmt.Errorf("reading orders from %s: %w", s.path, err)
		}
	}
	return s, s.save()
}

// add counts one order.
func (s *store) add(item string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.counts[item]; !known && len(s.counts) >= maxItems {
		return nil
	}
	s.counts[item]++
	return s.save()
}

// orders returns the counts as JSON.
func (s *store) orders() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return json.Marshal(s.counts)
}

// save replaces the file in one step. The caller holds mu.
func (s *store) save() error {
	content, err := json.Marshal(s.counts)
	if err != nil {
		return fmt.Errorf("encoding orders: %w", err)
	}
	temporary := s.path + ".new"
	if err := writeSynced(temporary, content); err != nil {
		return fmt.Errorf("writing orders: %w", err)
	}
	if err := os.Rename(temporary, s.path); err != nil {
		return fmt.Errorf("writing orders: %w", err)
	}
	return nil
}

// writeSynced writes a file through to the disk.
func writeSynced(path string, content []byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// runDB keeps orders. It ends when it cannot keep one, as databases do: what it
// has in memory would no longer be what is on the disk.
func runDB(ctx context.Context, env Environment, logger *slog.Logger) error {
	dir, err := env.required("DATA")
	if err != nil {
		return err
	}
	password, err := env.required("DB_PASSWORD")
	if err != nil {
		return err
	}
	orders, err := openStore(dir)
	if err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	mux := http.NewServeMux()
	if err := health(mux, env, nil); err != nil {
		return err
	}
	mux.Handle("GET /orders", authenticated(password, func(w http.ResponseWriter, _ *http.Request) {
		content, err := orders.orders()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(content) // a client that is gone needs no answer
	}))
	mux.Handle("POST /orders", authenticated(password, func(w http.ResponseWriter, r *http.Request) {
		item, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxItem))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := orders.add(string(item)); err != nil {
			http.Error(w, err.Error(), http.StatusInsufficientStorage)
			fail(err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	return serve(ctx, env, logger, mux)
}

// authenticated lets requests with the password through.
func authenticated(password string, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		if subtle.ConstantTimeCompare([]byte(given), []byte(password)) != 1 {
			http.Error(w, "wrong password", http.StatusUnauthorized)
			return
		}
		next(w, r)
	})
}
