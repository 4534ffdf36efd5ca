package shop

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
)

// catalogue is what the shop sells.
type catalogue struct {
	Items []string `json:"items"`
}

// readCatalogue reads the file that the variable CATALOGUE names.
func readCatalogue(env Environment) (catalogue, error) {
	path, err := env.required("CATALOGUE")
	if err != nil {
		return catalogue{}, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return catalogue{}, fmt.Errorf("%w: reading the catalogue: %w", ErrConfig, err)
	}
	var goods catalogue
	if err := json.Unmarshal(content, &goods); err != nil {
		return catalogue{}, fmt.Errorf("%w: reading the catalogue %s: %w", ErrConfig, path, err)
	}
	if len(goods.Items) == 0 {
		return catalogue{}, fmt.Errorf("%w: the catalogue %s has no items", ErrConfig, path)
	}
	return goods, nil
}

// runAPI takes orders for what is in the catalogue and keeps them in the database.
func runAPI(ctx context.Context, env Environment, logger *slog.Logger) error {
	goods, err := readCatalogue(env)
	if err != nil {
		return err
	}
	db, err := newDependency(env, "db", "DB_URL", logger)
	if err != nil {
		return err
	}
	if db.password, err = env.required("DB_PASSWORD"); err != nil {
		return err
	}
	mux := http.NewServeMux()
	if err := health(mux, env, db); err != nil {
		return err
	}
	mux.HandleFunc("GET /catalogue", func(w http.ResponseWriter, r *http.Request) {
		orders, err := db.call(r.Context(), http.MethodGet, "/orders", "")
		db.note(err)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		// An error means that the client is gone.
		_ = json.NewEncoder(w).Encode(struct {
			Items  []string        `json:"items"`
			Orders json.RawMessage `json:"orders"`
		}{goods.Items, orders})
	})
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		item, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxItem))
		if err != nil || !slices.Contains(goods.Items, string(item)) {
			http.Error(w, fmt.Sprintf("there is no %q in the catalogue", item), http.StatusBadRequest)
			return
		}
		_, err = db.call(r.Context(), http.MethodPost, "/orders", string(item))
		db.note(err)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	go db.heartbeat(ctx, func(ctx context.Context) error {
		_, err := db.call(ctx, http.MethodGet, "/orders", "")
		return err
	})
	return serve(ctx, env, logger, mux)
}
