// A Gin application watched by the published Go client.
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	analytics "github.com/tom-draper/api-analytics/analytics/go/gin"
	"watchkeeper.dev/e2e/clients/settings"
)

func main() {
	gin.SetMode(gin.ReleaseMode)

	config := analytics.NewConfig()
	config.ServerURL = settings.Server()
	config.PrivacyLevel = settings.PrivacyLevel()
	if header := settings.UserIDHeader(); header != "" {
		config.GetUserID = func(c *gin.Context) string { return c.GetHeader(header) }
	}

	app := gin.New()
	app.Use(analytics.AnalyticsWithConfig(settings.APIKey(), config))

	ok := func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) }
	app.GET("/ok", ok)
	app.GET("/search", ok)
	app.GET("/poke/:number", ok)
	app.PUT("/users/update", ok)
	app.GET("/slow", func(c *gin.Context) {
		time.Sleep(120 * time.Millisecond)
		ok(c)
	})
	app.POST("/items", func(c *gin.Context) { c.JSON(http.StatusCreated, gin.H{"id": 7}) })
	app.DELETE("/items/7", func(c *gin.Context) { c.Status(http.StatusNoContent) })

	log.Fatal(app.Run(settings.Address()))
}
