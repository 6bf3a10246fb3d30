// Goproxy is Go's own reverse proxy, as its documentation tells one to use it: forwarding headers set, Host kept, and as
// many idle connections to the upstream as there are clients (the default of two would open one for nearly each request).
//
// Usage: goproxy LISTEN UPSTREAM, as in goproxy 127.0.0.1:8080 http://127.0.0.1:9000. GOMAXPROCS is one by itself where
// the process is pinned to one core.
package main

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func reverseProxy(upstream *url.URL) http.Handler {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.DisableCompression = true // or it would ask for gzip where the client did not, and unpack it
	transport.MaxIdleConns = 4096
	transport.MaxIdleConnsPerHost = 4096
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(upstream)
			request.SetXForwarded()
			request.Out.Host = request.In.Host
		},
	}
}

func run(listen, upstream string) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	return http.ListenAndServe(listen, reverseProxy(target))
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: goproxy LISTEN UPSTREAM")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
