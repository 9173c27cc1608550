// Package web holds the shop page: what a browser loads from the edge to see a
// sale and buy from it.
//
// Purpose: a page without a build step. The files are served as they lie here,
// at the root of the edge: / is index.html, beside /app.js and /style.css.
//
// Authority: none. The page shows what the API answers and decides nothing; a
// browser's own list of bought items is a convenience, the ledger is the truth.
//
// Invariants: the page works under the content security policy
// "default-src 'self'": no inline script or style, nothing from elsewhere.
//
// Failure behaviour: an unanswered purchase is asked again with the same code,
// for a bounded time, also after a reload. The page never calls a purchase
// refused or done before the edge has said so.
package web

import (
	"embed"
	"io/fs"
)

//go:embed index.html app.js style.css
var files embed.FS

// Files returns the page's files: index.html, app.js and style.css. They never
// change while the program runs, so they may be cached by their content.
func Files() fs.FS { return files }
