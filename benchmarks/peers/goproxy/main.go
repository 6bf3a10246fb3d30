// Goproxy is Go's own reverse proxy, as its documentation tells one to use it: forwarding headers set, Host kept, and as
// many idle connections to the upstream as there are clients (the default of two would open one for nearly each request).
//
// Usage: goproxy LISTEN UPSTREAM [CERTIFICATE KEY], as in goproxy 127.0.0.1:8080 http://127.0.0.1:9000. GOMAXPROCS is one by itself where
// the process is pinned to one core.
package main

import (
	"crypto/tls"
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

func run(listen, upstream string, files []string) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return http.ListenAndServe(listen, reverseProxy(target))
	}
	server := &http.Server{Addr: listen, Handler: reverseProxy(target)}
	server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // HTTP/1.1, as the others
	return server.ListenAndServeTLS(files[0], files[1])
}

func main() {
	if len(os.Args) != 3 && len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: goproxy LISTEN UPSTREAM [CERTIFICATE KEY]")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
