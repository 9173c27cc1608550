package shopper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// ErrNoOpenSale means that the list of sales has no sale with items left.
var ErrNoOpenSale = errors.New("no open sale")

// Sale is what the system tells about one sale.
type Sale struct {
	ID        int64     `json:"id"`
	OpensAt   time.Time `json:"opens_at"`
	Stock     int       `json:"stock"`
	Sold      int       `json:"sold"`
	State     string    `json:"state"`
	FirstItem int64     `json:"first_item"`
	LastItem  int64     `json:"last_item"`
}

func (s *Sale) validate() error {
	if s.ID < 1 || s.Stock < 1 || s.Sold < 0 || s.LastItem-s.FirstItem+1 != int64(s.Stock) {
		return fmt.Errorf("sale %d makes no sense: %+v", s.ID, *s)
	}
	return nil
}

// FetchSale asks for one sale, or, if id is 0, for the newest open one.
func FetchSale(ctx context.Context, c *Conn, id int64) (Sale, error) {
	if id != 0 {
		var s Sale
		if err := getJSON(ctx, c, "/sales/"+strconv.FormatInt(id, 10), &s); err != nil {
			return Sale{}, err
		}
		return s, s.validate()
	}
	var list []Sale
	if err := getJSON(ctx, c, "/sales", &list); err != nil {
		return Sale{}, err
	}
	for _, s := range list { // newest first
		if s.State == "open" && s.Sold < s.Stock {
			return s, s.validate()
		}
	}
	return Sale{}, ErrNoOpenSale
}

func getJSON(ctx context.Context, c *Conn, path string, into any) error {
	resp, err := c.Do(ctx, http.MethodGet, path)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	if resp.Status != http.StatusOK {
		return fmt.Errorf("GET %s: status %d: %.200s", path, resp.Status, resp.Body)
	}
	if err := json.Unmarshal(resp.Body, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}
