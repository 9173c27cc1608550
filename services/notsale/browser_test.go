//go:build unix

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"notsale/pkg/backends/backendstest"
	"notsale/services/servicetest"
)

const browserTime = 2 * servicetest.Patience

// screenshots, if set, names a folder for the browser test's screenshots.
const screenshots = "NOTSALETEST_SCREENSHOTS"

// complaints are what a browser finds wrong with a page.
type complaints struct {
	mu   sync.Mutex
	list []string // guarded by mu
}

func (c *complaints) addf(format string, v ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, fmt.Sprintf(format, v...))
}

func (c *complaints) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.list, "\n")
}

func (c *complaints) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		c.addf("exception: %+v", e.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		c.addf("console: %s %v", e.Type, e.Args) // the page says nothing there
	case *log.EventEntryAdded: // violations of the security policy come here
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			c.addf("log: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventLoadingFailed:
		if !e.Canceled {
			c.addf("loading failed: %s %s", e.ErrorText, e.BlockedReason)
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			c.addf("%d %s", e.Response.Status, e.Response.URL)
		}
	}
}

// openBrowser starts a browser. The context ends with the test, or after
// browserTime.
func openBrowser(t *testing.T) (context.Context, *complaints) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(backendstest.Chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1200, 900),
		chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(browserTime),
	)
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	browser, stopBrowser := chromedp.NewContext(allocator)
	ctx, cancel := context.WithTimeout(browser, browserTime)
	t.Cleanup(func() {
		cancel()
		_ = chromedp.Cancel(browser) // waits until it has ended
		stopBrowser()
		stopAllocator()
	})
	found := &complaints{}
	if err := chromedp.Listen(browser, found.listen); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(browser, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(browser, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	return ctx, found
}

// read reads something off the page.
func read[T any](ctx context.Context, t *testing.T, action chromedp.Action[T]) T {
	t.Helper()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// card selects something in the card of an item.
func card(item int, rest string) chromedp.CSS {
	return chromedp.CSS(fmt.Sprintf(`#grid .card[data-item="%d"]%s`, item, rest))
}

// narrowest is the width of the narrowest picture on the screen, once all of
// them have one; those below load when they are scrolled to.
const narrowest = `(() => {
	const seen = [...document.querySelectorAll('#grid img')].filter((i) => i.getBoundingClientRect().top < innerHeight);
	return seen.length > 0 && Math.min(...seen.map((i) => i.complete ? i.naturalWidth : 0));
})()`

// A shopper opens the page, sees the pictures, clicks and has bought.
func TestBrowser(t *testing.T) {
	t.Parallel()
	ctx, found := openBrowser(t)
	p := runUp(t, "--sale-stock", "100")
	p.FirstSale(t)
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			shoot(ctx, t, "failed")
			t.Fatalf("%s: %v; the browser found %v", what, err, found)
		}
	}
	won := chromedp.CSS(`#results .result[data-state="won"]`)
	do("open", chromedp.Navigate(p.Base+"/"), chromedp.WaitVisible(card(1, " button.buy")))
	do("name", chromedp.Focus(chromedp.CSS("#user")),
		chromedp.Evaluate[chromedp.Void](`document.querySelector('#user').select()`), chromedp.KeyEvent("browser-user"))
	if width := read(ctx, t, chromedp.Poll[float64](narrowest, chromedp.WithPollingTimeout(browserTime))); width <= 0 {
		t.Errorf("the narrowest picture has a width of %v", width)
	}
	name := read(ctx, t, chromedp.Text(card(1, " h3")))
	do("buy", chromedp.Click(card(1, " button.buy")), chromedp.WaitVisible(won), chromedp.WaitVisible(card(1, `[data-state="mine"] .sold-badge`)))
	if text := read(ctx, t, chromedp.Text(won)); !strings.Contains(text, name+" is yours") || !strings.Contains(text, "Purchase successful") {
		t.Errorf("the result says %q, the item is %q", text, name)
	}
	shoot(ctx, t, "bought")
	if n := servicetest.Count(t, p.database(), `SELECT count(*) FROM items WHERE item_id = 1 AND user_id = 'browser-user'`); n != 1 {
		t.Errorf("the user owns %d of the item", n)
	}

	// Another shopper buys item 2: this one sees it after a while, and after a
	// reload at once.
	if a := p.Purchase(t, p.Checkout(t, "another", 2).Code); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	others := card(2, `[data-state="sold"] .sold-badge`)
	do("see it sold", chromedp.WaitVisible(others), chromedp.Reload(), chromedp.WaitVisible(others))
	do("remember what was bought", chromedp.WaitVisible(card(1, `[data-state="mine"]`)))
	badge, sold := read(ctx, t, chromedp.TextContent(others)), read(ctx, t, chromedp.TextContent(chromedp.CSS("#sale-sold")))
	if badge != "Sold" || sold != "2" {
		t.Errorf("badge %q, %q sold", badge, sold)
	}
	shoot(ctx, t, "reloaded")
	if text := found.String(); text != "" {
		t.Errorf("the browser complains:\n%s", text)
	}
	checkPolicy(ctx, t, found)
}

// checkPolicy looks that the test would see a violation.
func checkPolicy(ctx context.Context, t *testing.T, found *complaints) {
	t.Helper()
	const inject = `(() => { const s = document.createElement('script'); s.textContent = 'window.injected = true'; document.head.append(s); return window.injected !== true; })()`
	if !read(ctx, t, chromedp.Evaluate[bool](inject)) {
		t.Error("an injected script ran")
	}
	servicetest.Eventually(t, "the violation is seen", func() bool { return strings.Contains(found.String(), "Content Security Policy") })
}

// The page offers the open sales, newest first, and shows the newest.
func TestBrowserListsSalesNewestFirst(t *testing.T) {
	t.Parallel()
	ctx, found := openBrowser(t)
	p := runUp(t, "--sale-stock", "5", "--sale-every", "1s")
	servicetest.Eventually(t, "three sales are open", func() bool { return len(p.Sales(t)) >= 3 })
	if err := chromedp.Do(ctx, chromedp.Navigate(p.Base+"/"), chromedp.WaitVisible(chromedp.CSS("#sale-select"))); err != nil {
		t.Fatalf("%v; the browser found %v", err, found)
	}
	listed := read(ctx, t, chromedp.Evaluate[[]int](`[...document.querySelectorAll('#sale-select option')].map((o) => Number(o.value))`))
	shown := read(ctx, t, chromedp.Evaluate[int](`Number(document.querySelector('#sale-select').value)`))
	if len(listed) < 3 || shown < 3 || listed[len(listed)-1] != 1 || !slices.IsSortedFunc(listed, func(a, b int) int { return b - a }) {
		t.Errorf("the page lists the sales %v and shows %d", listed, shown)
	}
}

// shoot takes a screenshot, for people.
func shoot(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil || len(picture) == 0 {
		t.Errorf("screenshot: %d bytes, %v", len(picture), err)
	}
	if folder := os.Getenv(screenshots); folder != "" {
		if err := os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600); err != nil {
			t.Error(err)
		}
	}
}
