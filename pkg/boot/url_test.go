package boot_test

import (
	"strings"
	"testing"

	"notsale/pkg/boot"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"", "nats://one:1,two:2", "nats://u:p,q@one:1,two:2,three/x", "nats://h", "nats://h:4222", "nats://u:p%25%23%2F%40@h:4222", "tls://token@h", "nats://u:it's@h:1",
	} {
		if err := boot.CheckURL("NATS_URL", good, "nats", "tls"); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []struct{ text, want string }{
		{"nats://u:S3cret%zz@h:1", "%25"},
		{"nats://u:S3cret%@h:1", "%25"},
		{"nats://u:S3cret#x@h:1", "%23"},
		{"nats://u:77#S3cret@h:1", "%23"}, // 77 would be the port of a host u
		{"nats://u:77/S3cret@h:1", "%2F"},
		{"nats://u:77?S3cret@h:1", "%3F"},
		{"nats://u:S3cret/x@h:1", "%2F"},
		{"nats://u:S3cret?x@h:1", "%3F"},
		{"nats://u:S3cret x@h:1", "escaped"},
		{"nats://u:S3cret\x01x@h:1", "escaped"},
		{"nats://u:p@h:S3cret", "escaped"},
		{"nats://u:S3cret/x@h:1,two:2", "%2F"},
		{"nats://u:S3cret#x@h:1,two:2", "%23"},
		{"http://u:S3cret@h:1", "nats:// or tls://"},
		{"u:S3cret@h:1", "nats://"},
		{"S3cret", "nats://"},
	} {
		err := boot.CheckURL("NATS_URL", bad.text, "nats", "tls")
		if err == nil {
			t.Errorf("%s: accepted", bad.text)
			continue
		}
		if said := err.Error(); !strings.Contains(said, bad.want) || !strings.HasPrefix(said, "NATS_URL: ") || strings.Contains(said, "S3cret") || strings.Contains(said, "77") {
			t.Errorf("%s: %q", bad.text, said)
		}
	}
	if err := boot.CheckURL("REDIS_URL", "unix://u:p@/tmp/a@b.sock", "unix"); err != nil {
		t.Errorf("a socket: %v", err)
	}
}
