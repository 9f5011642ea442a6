// A Chi application watched by the published Go client.
package main

import (
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	analytics "github.com/tom-draper/api-analytics/analytics/go/chi"
	"watchkeeper.dev/e2e/clients/settings"
)

func main() {
	config := analytics.NewConfig()
	config.ServerURL = settings.Server()
	config.PrivacyLevel = settings.PrivacyLevel()
	if header := settings.UserIDHeader(); header != "" {
		config.GetUserID = func(r *http.Request) string { return r.Header.Get(header) }
	}

	app := chi.NewRouter()
	app.Use(analytics.AnalyticsWithConfig(settings.APIKey(), config))

	ok := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"ok"}`) }
	app.Get("/ok", ok)
	app.Get("/search", ok)
	app.Get("/poke/{number}", ok)
	app.Put("/users/update", ok)
	app.Get("/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(120 * time.Millisecond)
		ok(w, r)
	})
	app.Post("/items", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"id":7}`)
	})
	app.Delete("/items/7", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})

	log.Fatal(http.ListenAndServe(settings.Address(), app))
}
