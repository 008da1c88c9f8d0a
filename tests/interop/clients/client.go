// A question a line, such as `LookupSRV _web._tcp.svc.local`; its answer as a line of JSON. Pure Go, no C library.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

func main() {
	resolver := &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, os.Args[1])
		},
	}
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		how, name, _ := strings.Cut(input.Text(), " ")
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		var found any
		var err error
		switch how {
		case "LookupHost":
			found, err = resolver.LookupHost(ctx, name)
		case "LookupAddr":
			found, err = resolver.LookupAddr(ctx, name)
		case "LookupTXT":
			found, err = resolver.LookupTXT(ctx, name)
		case "LookupSRV":
			_, found, err = resolver.LookupSRV(ctx, "", "", name)
		}
		cancel()
		var failure *net.DNSError
		if errors.As(err, &failure) && failure.IsNotFound {
			found = "not found"
		} else if err != nil {
			found = err.Error()
		}
		line, _ := json.Marshal(found)
		fmt.Println(string(line))
	}
}
