// Package settings reads what every application here takes from its environment.
package settings

import (
	"log"
	"os"
	"strconv"
	"strings"
)

// Server is the URL of the server that hits go to.
func Server() string {
	return os.Getenv("WATCHKEEPER_URL")
}

// APIKey is the key itself, or what the mounted file holds.
func APIKey() string {
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

// PrivacyLevel is the level that the client is told, 0 unless another is set.
func PrivacyLevel() int {
	text := os.Getenv("PRIVACY_LEVEL")
	if text == "" {
		return 0
	}
	level, err := strconv.Atoi(text)
	if err != nil {
		log.Fatal(err)
	}
	return level
}

// UserIDHeader is the header by which the application knows its users; empty if it does not.
func UserIDHeader() string {
	return os.Getenv("USER_ID_HEADER")
}

// Address is where the application listens.
func Address() string {
	if address := os.Getenv("LISTEN"); address != "" {
		return address
	}
	return "127.0.0.1:" + os.Getenv("PORT")
}
