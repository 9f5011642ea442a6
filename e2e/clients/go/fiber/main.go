// A Fiber application watched by the published Go client.
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"
	analytics "github.com/tom-draper/api-analytics/analytics/go/fiber"
	"watchkeeper.dev/e2e/clients/settings"
)

func main() {
	config := analytics.NewConfig()
	config.ServerURL = settings.Server()
	config.PrivacyLevel = settings.PrivacyLevel()
	if header := settings.UserIDHeader(); header != "" {
		config.GetUserID = func(c *fiber.Ctx) string { return c.Get(header) }
	}

	// Fiber's strings live no longer than their request unless they are
	// immutable, and the client keeps them for a minute.
	app := fiber.New(fiber.Config{Immutable: true, DisableStartupMessage: true})
	app.Use(analytics.AnalyticsWithConfig(settings.APIKey(), config))

	ok := func(c *fiber.Ctx) error { return c.JSON(fiber.Map{"status": "ok"}) }
	app.Get("/ok", ok)
	app.Get("/search", ok)
	app.Get("/poke/:number", ok)
	app.Put("/users/update", ok)
	app.Get("/slow", func(c *fiber.Ctx) error {
		time.Sleep(120 * time.Millisecond)
		return ok(c)
	})
	app.Post("/items", func(c *fiber.Ctx) error {
		return c.Status(http.StatusCreated).JSON(fiber.Map{"id": 7})
	})
	app.Delete("/items/7", func(c *fiber.Ctx) error { return c.SendStatus(http.StatusNoContent) })

	log.Fatal(app.Listen(settings.Address()))
}
