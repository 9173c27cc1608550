//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"notsale/services/auditor/archive"
)

// reportOf runs the command as a user does, and returns what it printed.
func (f *front) reportOf(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := newReport()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, f.storesFlag(t)))
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestReport(t *testing.T) {
	e := audited(t)
	folder := t.TempDir()
	t.Chdir(folder)
	out, err := e.reportOf(t, "--sale", "1")
	if err != nil || !strings.Contains(out, "sale 1: clean") || !strings.Contains(out, "page sale-1.html") {
		t.Fatalf("%s%v", out, err)
	}
	clean := page(t, "sale-1.html")
	for text, want := range map[string]bool{"Clean": true, "a hole in the stream": true, "unproved decisions": true, "took over": true, "<bdi>ann</bdi>": false} {
		if strings.Contains(clean, text) != want {
			t.Errorf("the page has %q: %v, want %v", text, !want, want)
		}
	}
	for what, args := range map[string][]string{
		"a file that exists": {"--sale", "1"},
		"no sale":            {},
		"an unknown sale":    {"--sale", "9", "--out", "9.html"},
		"a bad number":       {"--sale", "-1", "--out", "9.html"},
		"no folder":          {"--sale", "1", "--out", filepath.Join(folder, "no", "such", "page.html")},
	} {
		if out, err := e.reportOf(t, args...); !errors.Is(err, errAudit) || errors.Is(err, errFindings) {
			t.Errorf("%s: %s%v", what, out, err)
		}
	}
	if page(t, "sale-1.html") != clean {
		t.Error("the page was replaced")
	}
	e.exec(t, `UPDATE decisions SET user_id = 'friend' WHERE sale_id = 1 AND position = 1`)
	out, err = e.reportOf(t, "--sale", "1", "--force", "--with-users")
	if !errors.Is(err, errFindings) || errors.Is(err, errAudit) || !strings.Contains(out, "FINDING") {
		t.Errorf("%s%v", out, err)
	}
	if text := page(t, "sale-1.html"); !strings.Contains(text, "1 finding") || !strings.Contains(text, "<bdi>friend</bdi>") || !strings.Contains(text, "<bdi>ann</bdi>") {
		t.Error("the page does not show the finding")
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 1 {
		t.Errorf("files %v, %v", left, err)
	}
}

// An archive gives the page that its sale gave.
func TestReportOfAnArchive(t *testing.T) {
	e := audited(t)
	t.Chdir(t.TempDir())
	if _, err := archive.Create(t.Context(), "sale.tar", e.books, e.tape, e.of.ID, nil); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--sale", "1", "--out", "live.html"}, {"--archive", "sale.tar", "--out", "archived.html"}} {
		if out, err := e.reportOf(t, args...); err != nil {
			t.Fatalf("%v: %s%v", args, out, err)
		}
	}
	if page(t, "live.html") != page(t, "archived.html") {
		t.Error("the pages differ")
	}
	if err := os.Truncate("sale.tar", 5000); err != nil {
		t.Fatal(err)
	}
	if out, err := e.reportOf(t, "--archive", "sale.tar", "--out", "damaged.html"); err == nil {
		t.Errorf("a page of a damaged archive: %s", out)
	}
	if _, err := os.Lstat("damaged.html"); err == nil {
		t.Error("there is a page of a damaged archive")
	}
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// asked are the addresses that a browser asked for.
type asked struct {
	mu   sync.Mutex
	list []string // guarded by mu
}

func (a *asked) listen(event any) {
	if e, ok := event.(*network.EventRequestWillBeSent); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.list = append(a.list, e.Request.URL)
	}
}

// widest is how far the page, or a text in it, reaches beyond the screen.
const widest = `(() => {
	const inner = document.documentElement.clientWidth;
	const beyond = [...document.querySelectorAll('body *')].filter((e) => !e.closest('.hidden, .defs, .picture')).map((e) => e.getBoundingClientRect().right - inner);
	return Math.max(document.documentElement.scrollWidth - inner, ...beyond);
})()`

// overlaps are labels of one chart that run into each other.
const overlaps = `(() => {
	const found = [];
	for (const chart of document.querySelectorAll('svg.chart')) {
		const labels = [...chart.querySelectorAll('text')].map((e) => [e.textContent, e.getBoundingClientRect()]).filter(([, r]) => r.width > 0);
		labels.forEach(([a, x], i) => labels.slice(i + 1).forEach(([b, y]) => {
			if (x.left < y.right && y.left < x.right && x.top + 2 < y.bottom && y.top + 2 < x.bottom) found.push(chart.getAttribute('aria-label') + ': ' + a + ' / ' + b);
		}));
	}
	return found.join('\n');
})()`

// The page of a sale with takeovers, a hole and a finding, in a browser.
func TestBrowserReport(t *testing.T) {
	t.Parallel()
	ctx, found := openBrowser(t)
	e := audited(t)
	e.exec(t, `UPDATE decisions SET user_id = 'friend' WHERE sale_id = 1 AND position = 1`)
	name := filepath.Join(t.TempDir(), "page.html")
	if out, err := e.reportOf(t, "--sale", "1", "--out", name); !errors.Is(err, errFindings) {
		t.Fatalf("%s%v", out, err)
	}
	sent := &asked{}
	if err := chromedp.Listen(ctx, sent.listen); err != nil {
		t.Fatal(err)
	}
	for _, width := range []int64{360, 768, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			look(ctx, t, name, width, scheme)
		}
	}
	if text := found.String(); text != "" {
		t.Errorf("the browser complains:\n%s", text)
	}
	sent.mu.Lock()
	defer sent.mu.Unlock()
	for _, address := range sent.list {
		if address != "file://"+name && address != "data:," {
			t.Errorf("the page asks for %s", address)
		}
	}
	if len(sent.list) == 0 {
		t.Error("the browser asked for nothing, not even the page")
	}
}

// look looks at a page on one screen.
func look(ctx context.Context, t *testing.T, name string, width int64, scheme string) {
	t.Helper()
	screen := emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1}
	if _, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, screen); err != nil {
		t.Fatal(err)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("file://"+name), chromedp.WaitVisible(chromedp.CSS("#title"))); err != nil {
		t.Fatal(err)
	}
	screenName := fmt.Sprintf("report-%d-%s", width, scheme)
	if over := read(ctx, t, chromedp.Evaluate[float64](widest)); over > 0.5 {
		t.Errorf("%s: something reaches %v px beyond the screen", screenName, over)
	}
	if text := read(ctx, t, chromedp.Evaluate[string](overlaps)); text != "" {
		t.Errorf("%s: labels overlap:\n%s", screenName, text)
	}
	const paper = `getComputedStyle(document.body).backgroundColor`
	if got, want := read(ctx, t, chromedp.Evaluate[string](paper)), map[string]string{"light": "rgb(251, 247, 240)", "dark": "rgb(23, 21, 19)"}[scheme]; got != want {
		t.Errorf("%s: the paper is %s, want %s", screenName, got, want)
	}
	const charts = `[...document.querySelectorAll('svg.chart')].filter((c) => c.getBoundingClientRect().width > 0).length`
	if n := read(ctx, t, chromedp.Evaluate[int](charts)); n != 9 {
		t.Errorf("%s: %d charts show", screenName, n)
	}
	shoot(ctx, t, screenName)
}
