//go:build unix

package edge

import (
	"strings"
	"testing"
)

func TestOriginsAreValidated(t *testing.T) {
	for origin, valid := range map[string]bool{
		"*": true, "https://shop.example": true, "http://localhost:3000": true, "http://[::1]:3000": true,
		"": false, "shop.example": false, "https://": false, "https://shop.example/": false, "https://shop.example/path": false,
		"https://u@shop.example": false, "https://*.example": false, "null": false, "HTTPS://shop.example": false, "https://Shop.example": false,
	} {
		cfg := DefaultConfig()
		cfg.CORSOrigins = []string{"https://fine.example", origin}
		if err := cfg.Validate(); (err == nil) != valid || err != nil && !strings.Contains(err.Error(), "--cors-origins") {
			t.Errorf("%q: %v, want valid: %t", origin, err, valid)
		}
	}
}
