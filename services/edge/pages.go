package edge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"notsale/pkg/catalogue"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/edge/web"
)

// Sizes of pages.
const (
	defaultPage  = 100
	maxPage      = 500
	maxSalesPage = 1000
)

// saleBody is a sale as the API shows it.
type saleBody struct {
	ID        sale.ID     `json:"id"`
	OpensAt   string      `json:"opens_at"`
	Stock     int         `json:"stock"`
	Sold      int         `json:"sold"`
	State     sale.State  `json:"state"`
	FirstItem sale.ItemID `json:"first_item"`
	LastItem  sale.ItemID `json:"last_item"`
	UserLimit int         `json:"user_limit"`
}

type itemBody struct {
	ID    sale.ItemID `json:"id"`
	Sale  sale.ID     `json:"sale,omitempty"`
	Name  string      `json:"name"`
	Image string      `json:"image"`
	Sold  bool        `json:"sold"`
}

type itemsBody struct {
	Sale   sale.ID    `json:"sale"`
	Offset int        `json:"offset"`
	Limit  int        `json:"limit"`
	Total  int        `json:"total"`
	Items  []itemBody `json:"items"`
	Next   string     `json:"next,omitempty"`
}

func imagePath(item sale.ItemID) string { return "/items/" + item.String() + "/image" }

// forLong says how pictures and pages may be cached, which never change while
// an edge runs: for as long as a sale usually lasts.
const forLong = "public, max-age=3600"

// tell answers with what changes as items are sold: caches must ask each time
// whether it is still so.
func tell(c *gin.Context, body any) {
	text := encode(body)
	if !has(c, "no-cache", tagOf(text)) {
		write(c, http.StatusOK, typeJSON, text)
	}
}

// tagOf is the entity tag of an answer: of its bytes, so all edges give the same.
func tagOf(text []byte) string {
	sum := sha256.Sum256(text)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// has says how the answer may be cached, and answers 304 if the client has the
// one with this tag.
func has(c *gin.Context, control, tag string) bool {
	c.Header("Cache-Control", control)
	c.Header("ETag", tag)
	for one := range strings.SplitSeq(strings.Join(c.Request.Header.Values("If-None-Match"), ","), ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			c.Status(http.StatusNotModified)
			c.Writer.WriteHeaderNow()
			return true
		}
	}
	return false
}

// sales lists sales, newest first: ?before= a number, ?limit= at most 1000.
func (e *Edge) sales(c *gin.Context) {
	before, errBefore := number(c, "before", 0, int64(sale.MaxItemID))
	limit, errLimit := number(c, "limit", defaultPage, maxSalesPage)
	if err := errors.Join(errBefore, errLimit); err != nil {
		refuse(c, problemParameter, err.Error())
		return
	}
	rows, err := shared(e.reads, fmt.Sprintf("sales %d %d", before, limit), func(ctx context.Context) ([]ledger.SaleRow, error) {
		return e.ledger.Sales(ctx, sale.ID(before), int(limit))
	})
	if err != nil {
		e.failRead(c, err, problemUnknownSale)
		return
	}
	list := make([]saleBody, 0, len(rows))
	for _, row := range rows {
		if row.State != sale.Preparing {
			list = append(list, saleOf(row))
		}
	}
	tell(c, list)
}

// saleOf shows a sale. One that is archived, or is being archived, is sold out.
func saleOf(row ledger.SaleRow) saleBody {
	s := &row.Sale
	if row.State.Closed() {
		row.State = sale.SoldOut
	}
	return saleBody{
		ID: s.ID, OpensAt: s.OpensAt.Format("2006-01-02T15:04:05Z07:00"), Stock: s.Stock, Sold: row.Sold, State: row.State,
		FirstItem: s.FirstItem, LastItem: s.LastItem(), UserLimit: s.UserLimit,
	}
}

// failRead answers for a read that found nothing or failed.
func (e *Edge) failRead(c *gin.Context, err error, missing *problem) {
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		refuse(c, missing, "There is nothing with this id.")
	case errors.Is(err, errManyReads):
		refuse(c, problemOverload, "Send the same request again.")
	default:
		e.log.Debug("ledger not read", "error", err)
		refuse(c, problemLedger, "Try again in a moment.")
	}
}

// number reads a parameter that is a number, given at most once.
func number(c *gin.Context, name string, otherwise, most int64) (int64, error) {
	texts, err := parameters(c.Request.URL.RawQuery, name)
	if len(texts) == 0 {
		return otherwise, nil
	}
	n, ok := decimal(texts[0])
	if err != nil || len(texts) > 1 || !ok || n > most {
		return 0, paramError(fmt.Sprintf("%s must be one decimal integer from 0 to %d without sign or leading zero", name, most))
	}
	return n, nil
}

// decimal reads a number as sale.ParseItemID reads an item id, and 0.
func decimal(text string) (int64, bool) {
	if text == "0" {
		return 0, true
	}
	n, err := sale.ParseItemID(text)
	return int64(n), err == nil
}

// saleRow reads the sale of the path from the ledger, or answers itself.
func (e *Edge) saleRow(c *gin.Context) (ledger.SaleRow, bool) {
	n, ok := decimal(c.Param("id"))
	if !ok {
		refuse(c, problemUnknownSale, "There is nothing with this id.")
		return ledger.SaleRow{}, false
	}
	row, err := shared(e.reads, "sale "+c.Param("id"), func(ctx context.Context) (ledger.SaleRow, error) {
		return e.ledger.Sale(ctx, sale.ID(n))
	})
	if err == nil && row.State == sale.Preparing {
		err = ledger.ErrNotFound
	}
	if err != nil {
		e.failRead(c, err, problemUnknownSale)
		return ledger.SaleRow{}, false
	}
	return row, true
}

func (e *Edge) sale(c *gin.Context) {
	if row, ok := e.saleRow(c); ok {
		tell(c, saleOf(row))
	}
}

// items lists a sale's items: ?offset=, ?limit= at most 500.
func (e *Edge) items(c *gin.Context) {
	row, ok := e.saleRow(c)
	if !ok {
		return
	}
	offset, errOffset := number(c, "offset", 0, sale.MaxStock)
	limit, errLimit := number(c, "limit", defaultPage, maxPage)
	if err := errors.Join(errOffset, errLimit); err != nil {
		refuse(c, problemParameter, err.Error())
		return
	}
	s := &row.Sale
	body := itemsBody{Sale: s.ID, Offset: int(offset), Limit: int(limit), Total: s.Stock, Items: []itemBody{}}
	first := s.FirstItem + sale.ItemID(offset)
	last := min(first+sale.ItemID(limit)-1, s.LastItem())
	sold, err := shared(e.reads, fmt.Sprintf("sold %d %d", first, last), func(ctx context.Context) ([]sale.ItemID, error) {
		return e.ledger.SoldItems(ctx, first, last)
	})
	if err != nil {
		e.failRead(c, err, problemUnknownSale)
		return
	}
	for item := first; item <= last; item++ {
		taken := len(sold) > 0 && sold[0] == item
		if taken {
			sold = sold[1:]
		}
		body.Items = append(body.Items, itemBody{ID: item, Name: catalogue.Name(s, item), Image: imagePath(item), Sold: taken})
	}
	if last < s.LastItem() && limit > 0 {
		body.Next = fmt.Sprintf("/sales/%d/items?offset=%d&limit=%d", s.ID, offset+limit, limit)
	}
	tell(c, body)
}

// itemOf finds the item of the path, or answers itself.
func (e *Edge) itemOf(c *gin.Context) (*sale.Sale, sale.ItemID, bool) {
	item, err := sale.ParseItemID(c.Param("id"))
	if err != nil {
		refuse(c, problemUnknownItem, "There is nothing with this id.")
		return nil, 0, false
	}
	of, err := e.shop.Find(item)
	if err != nil {
		e.failRead(c, err, problemUnknownItem)
		return nil, 0, false
	}
	if of == nil {
		refuse(c, e.unknown(item), "There is nothing with this id.")
		return nil, 0, false
	}
	return of, item, true
}

// unknown is the problem of an item that no sale has.
func (e *Edge) unknown(item sale.ItemID) *problem {
	if e.shop.Upcoming(item) {
		return problemNextSale
	}
	return problemUnknownItem
}

func (e *Edge) item(c *gin.Context) {
	of, item, ok := e.itemOf(c)
	if !ok {
		return
	}
	sold, err := shared(e.reads, "item "+item.String(), func(ctx context.Context) ([]sale.ItemID, error) {
		return e.ledger.SoldItems(ctx, item, item)
	})
	if err != nil {
		e.failRead(c, err, problemUnknownItem)
		return
	}
	tell(c, itemBody{ID: item, Sale: of.ID, Name: catalogue.Name(of, item), Image: imagePath(item), Sold: len(sold) == 1})
}

// image draws the item's picture. The sale and the item determine it, so its tag is
// made of these.
func (e *Edge) image(c *gin.Context) {
	of, item, ok := e.itemOf(c)
	if !ok {
		return
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%v %d", of.UUID, item)
	if !has(c, forLong, `"`+strconv.FormatUint(h.Sum64(), 16)+`"`) {
		write(c, http.StatusOK, "image/svg+xml", catalogue.Picture(of, item))
	}
}

// page serves an embedded file. Its links to script and style name their content, so
// that a cached page never gets those of another version.
func page(name, contentType string) gin.HandlerFunc {
	text := embedded(name)
	for _, linked := range []string{"app.js", "style.css"} {
		version := strings.Trim(tagOf(embedded(linked)), `"`)
		text = bytes.ReplaceAll(text, []byte(`"/`+linked+`"`), []byte(`"/`+linked+`?v=`+version+`"`))
	}
	tag := tagOf(text)
	return func(c *gin.Context) {
		if !has(c, forLong, tag) {
			write(c, http.StatusOK, contentType, text)
		}
	}
}

func embedded(name string) []byte {
	text, err := fs.ReadFile(web.Files(), name)
	if err != nil { // embedded at build time
		panic(err)
	}
	return text
}
