package shop

import (
	"context"
	"log/slog"
	"net/http"
)

// runFront serves visitors from what the API says.
func runFront(ctx context.Context, env Environment, logger *slog.Logger) error {
	api, err := newDependency(env, "api", "API_URL", logger)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	if err := health(mux, env, api); err != nil {
		return err
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		catalogue, err := api.call(r.Context(), http.MethodGet, "/catalogue", "")
		api.note(err)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(catalogue) // a client that is gone needs no answer
	})
	go api.heartbeat(ctx, func(ctx context.Context) error {
		_, err := api.call(ctx, http.MethodPost, "/orders", "tea")
		return err
	})
	return serve(ctx, env, logger, mux)
}
