// A TURN server built with pion's library: one user, UDP, TCP, TLS and DTLS on the loopback address. It prints "ready"
// when it listens, and runs until it is killed.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net"

	"github.com/pion/dtls/v2"
	"github.com/pion/turn/v2"
)

func main() {
	port := flag.Int("port", 3478, "UDP and TCP")
	tlsPort := flag.Int("tls-port", 5349, "TLS and DTLS")
	chain := flag.String("cert", "", "PEM of the certificate")
	key := flag.String("key", "", "PEM of its key")
	user := flag.String("user", "alice", "the user")
	password := flag.String("password", "", "the user's password")
	realm := flag.String("realm", "pion.example", "the realm")
	denied := flag.String("deny", "", "address of a client that gets no permissions")
	flag.Parse()

	host := net.ParseIP("127.0.0.1")
	relays := &turn.RelayAddressGeneratorStatic{RelayAddress: host, Address: host.String()}
	allowed := func(client net.Addr, _ net.IP) bool {
		address, _, err := net.SplitHostPort(client.String())
		return err == nil && address != *denied
	}

	pair, err := tls.LoadX509KeyPair(*chain, *key)
	check(err)
	pairs := []tls.Certificate{pair}
	plain := fmt.Sprintf("%s:%d", host, *port)
	secured := fmt.Sprintf("%s:%d", host, *tlsPort)

	udp, err := net.ListenPacket("udp4", plain)
	check(err)
	tcp, err := net.Listen("tcp4", plain)
	check(err)
	overTLS, err := tls.Listen("tcp4", secured, &tls.Config{Certificates: pairs})
	check(err)
	overDTLS, err := dtls.Listen("udp4", &net.UDPAddr{IP: host, Port: *tlsPort}, &dtls.Config{Certificates: pairs})
	check(err)

	var listeners []turn.ListenerConfig
	for _, listener := range []net.Listener{tcp, overTLS, overDTLS} {
		listeners = append(listeners, turn.ListenerConfig{
			Listener: listener, RelayAddressGenerator: relays, PermissionHandler: allowed})
	}
	_, err = turn.NewServer(turn.ServerConfig{
		Realm: *realm,
		AuthHandler: func(name, realm string, _ net.Addr) ([]byte, bool) {
			return turn.GenerateAuthKey(name, realm, *password), name == *user
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn: udp, RelayAddressGenerator: relays, PermissionHandler: allowed}},
		ListenerConfigs: listeners,
	})
	check(err)
	fmt.Println("ready")
	select {}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
