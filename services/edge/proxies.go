package edge

import (
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// forwarded is the header in which proxies name who asked them. Others, such as
// X-Real-IP, many pass on as the client sent them.
const forwarded = "X-Forwarded-For"

// proxies are those that are trusted to name the client's address. Safe for any
// number of callers.
type proxies struct {
	trusted []netip.Prefix
	log     *slog.Logger
	unread  atomic.Bool // what one said last could not be read; written by heard
}

// newProxies returns the proxies of a list of addresses and networks, or an error
// that names what is neither.
func newProxies(list []string, log *slog.Logger) (*proxies, error) {
	p := &proxies{log: log}
	for _, text := range list {
		one, err := netip.ParsePrefix(text)
		if a, errAddress := netip.ParseAddr(text); errAddress == nil {
			one, err = a.Unmap().Prefix(a.Unmap().BitLen())
		}
		if err != nil {
			return nil, err
		}
		p.trusted = append(p.trusted, one)
	}
	return p, nil
}

// client returns the address that a request comes from: that of its connection
// or, where this is a trusted proxy's, the one that the proxy names, and so on.
// What a proxy says that cannot be read leaves it at the proxy.
func (p *proxies) client(r *http.Request) netip.Addr {
	a, _ := address(r.RemoteAddr)
	if len(r.Header[forwarded]) == 0 || !p.trusts(a) {
		return a
	}
	names, ok := strings.Split(strings.Join(r.Header[forwarded], ","), ","), true
	for i := len(names) - 1; i >= 0 && ok && p.trusts(a); i-- {
		var next netip.Addr
		if next, ok = address(names[i]); ok {
			a = next
		}
	}
	p.heard(ok, a)
	return a
}

func (p *proxies) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p.trusted, func(one netip.Prefix) bool { return one.Contains(a) })
}

// heard warns when a trusted proxy begins to say what cannot be read. The log does
// not repeat it: clients can write it.
func (p *proxies) heard(ok bool, proxy netip.Addr) {
	if was := p.unread.Swap(!ok); !ok && !was {
		p.log.Warn("a trusted proxy names its client by no address in "+forwarded+": all its clients count as one", "proxy", proxy)
	}
}

// address reads an address as proxies write it: alone or with a port (IPv6
// then in brackets), quoted or not.
func address(text string) (a netip.Addr, ok bool) {
	text = strings.Trim(text, " \t\"")
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		var both netip.AddrPort
		both, err = netip.ParseAddrPort(text)
		a = both.Addr()
	}
	return a.Unmap().WithZone(""), err == nil
}
