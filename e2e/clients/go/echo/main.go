// An Echo application watched by the published Go client.
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	analytics "github.com/tom-draper/api-analytics/analytics/go/echo"
	"watchkeeper.dev/e2e/clients/settings"
)

func main() {
	config := analytics.NewConfig()
	config.ServerURL = settings.Server()
	config.PrivacyLevel = settings.PrivacyLevel()
	if header := settings.UserIDHeader(); header != "" {
		config.GetUserID = func(c echo.Context) string { return c.Request().Header.Get(header) }
	}

	app := echo.New()
	app.HideBanner = true
	app.Use(analytics.AnalyticsWithConfig(settings.APIKey(), config))

	ok := func(c echo.Context) error { return c.JSON(http.StatusOK, echo.Map{"status": "ok"}) }
	app.GET("/ok", ok)
	app.GET("/search", ok)
	app.GET("/poke/:number", ok)
	app.PUT("/users/update", ok)
	app.GET("/slow", func(c echo.Context) error {
		time.Sleep(120 * time.Millisecond)
		return ok(c)
	})
	app.POST("/items", func(c echo.Context) error {
		return c.JSON(http.StatusCreated, echo.Map{"id": 7})
	})
	app.DELETE("/items/7", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })

	log.Fatal(app.Start(settings.Address()))
}
