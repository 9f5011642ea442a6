// A Gin application watched by the published Go client.
package main

import (
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	analytics "github.com/tom-draper/api-analytics/analytics/go/gin"
)

// apiKey is the key itself, or what the mounted file holds.
func apiKey() string {
	file := os.Getenv("API_KEY_FILE")
	if file == "" {
		return os.Getenv("API_KEY")
	}
	key, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	return strings.TrimSpace(string(key))
}

func main() {
	gin.SetMode(gin.ReleaseMode)

	config := analytics.NewConfig()
	config.ServerURL = os.Getenv("WATCHKEEPER_URL")

	app := gin.New()
	app.Use(analytics.AnalyticsWithConfig(apiKey(), config))

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

	address := os.Getenv("LISTEN")
	if address == "" {
		address = "127.0.0.1:" + os.Getenv("PORT")
	}
	log.Fatal(app.Run(address))
}
