package overlay_test

import (
	"os/exec"
	"testing"

	"notsale/loadtest/overlay"
)

// The program is built with processes of each role that die, and the tree stays as it
// is.
func TestMortal(t *testing.T) {
	o, err := overlay.New("../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for role, folder := range map[string]string{"allocator": "services/allocator", "recorder": "services/recorder", "edge": "services/edge/shop", "scheduler": "services/scheduler"} {
		if err := o.Mortal(role, folder); err != nil {
			t.Fatal(role, err)
		}
	}
	flag, err := o.Flag()
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{"allocator", "recorder", "edge/shop", "scheduler"} {
		if text, err := exec.Command("go", "vet", flag, "notsale/services/"+pkg).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}
