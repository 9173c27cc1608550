package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"notsale/pkg/pack"
	"notsale/pkg/stream"
	"notsale/services/edge/shop"
)

// What keeps a request from its answer is told as 503, never as 200 or as a refusal:
// also a context that ended with a session, which is no client that has left.
func TestFailuresAreTold(t *testing.T) {
	e := &Edge{log: slog.New(slog.DiscardHandler)}
	for _, c := range []struct {
		err  error
		slug string
	}{
		{pack.ErrFull, "overload"},
		{shop.ErrCrowded, "overload"},
		{shop.ErrNoAnswer, "ledger-unavailable"},
		{fmt.Errorf("%w: %w", pack.ErrAmbiguous, stream.ErrFull), "stream-full"},
		{pack.ErrLate, "not-queued"},
		{pack.ErrClosed, "not-queued"},
		{fmt.Errorf("%w: %w", pack.ErrAmbiguous, context.Canceled), "not-queued"},
		{context.Canceled, "not-queued"},
		{errors.New("anything else"), "not-queued"},
	} {
		recorder := httptest.NewRecorder()
		g, _ := gin.CreateTestContext(recorder)
		e.fail(g, c.err, repeatPurchase)
		if body := recorder.Body.String(); recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") == "" ||
			!strings.Contains(body, problemType+c.slug+`"`) {
			t.Errorf("%v: %d %s, want 503 %s", c.err, recorder.Code, body, c.slug)
		}
	}
}
