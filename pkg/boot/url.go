package boot

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// moreHosts matches a URL with several hosts, which the stores allow and the grammar of
// URLs does not, up to the first of them.
var moreHosts = regexp.MustCompile(`^([^/?#]*//(?:[^/?#]*@)?[^/?#@,]*),[^/?#@]*`)

// CheckURL reports what is wrong with a URL that may contain a password, without
// repeating any of it. name is the setting's. An empty URL is fine.
//
// It is stricter than the grammar of URLs about characters that must be escaped in a
// password: the rest of the password would be taken for a path, and part of it for
// the name of a host, which errors do show.
func CheckURL(name, text string, schemes ...string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(moreHosts.ReplaceAllString(text, "$1"))
	var escape url.EscapeError
	switch {
	case errors.As(err, &escape):
		return fmt.Errorf("%s: it holds a %% that begins no escape: write a %% of a user or password as %%25", name)
	case strings.Contains(text, "#"):
		return fmt.Errorf("%s: it holds a #: write one of a user or password as %%23", name)
	case err != nil, strings.ContainsRune(u.Path, '@') && u.Scheme != "unix", strings.ContainsRune(u.RawQuery, '@'):
		return fmt.Errorf("%s: it is no URL: write special characters of a user or password escaped (/ as %%2F, ? as %%3F, @ as %%40, : as %%3A, [ as %%5B)", name)
	case !slices.Contains(schemes, u.Scheme):
		return fmt.Errorf("%s: it must start with %s://", name, strings.Join(schemes, ":// or "))
	}
	return nil
}
