// A TURN client built with pion's library: an allocation, a permission, and messages to a peer that echoes them.
// It prints one line of JSON. Errors go to standard error, with exit status 1.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/pion/dtls/v2"
	"github.com/pion/turn/v2"
)

func main() {
	transport := flag.String("transport", "udp", "udp, tcp, tls or dtls")
	server := flag.String("server", "127.0.0.1:3478", "address and port")
	root := flag.String("ca", "", "PEM of the authority that is trusted")
	user := flag.String("user", "", "the user")
	password := flag.String("password", "", "the user's password")
	count := flag.Int("count", 50, "messages")
	flag.Parse()

	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: *server, TURNServerAddr: *server, Username: *user, Password: *password,
		Conn: connection(*transport, *server, *root)})
	check(err)
	defer client.Close()
	check(client.Listen())
	mapped, err := client.SendBindingRequest()
	check(err)
	relay, err := client.Allocate()
	check(err)

	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	check(err)
	go echo(peer)
	check(client.CreatePermission(peer.LocalAddr()))
	// The first messages are Send indications, until the library has bound a channel; the others use the channel.
	buffer := make([]byte, 1500)
	for number := 0; number < *count; number++ {
		message := fmt.Sprintf("message %d of %d", number, *count)
		_, err = relay.WriteTo([]byte(message), peer.LocalAddr())
		check(err)
		check(relay.SetReadDeadline(time.Now().Add(5 * time.Second)))
		length, from, err := relay.ReadFrom(buffer)
		check(err)
		if string(buffer[:length]) != message || from.String() != peer.LocalAddr().String() {
			log.Fatalf("%q from %s in place of %q", buffer[:length], from, message)
		}
	}
	relayed := relay.LocalAddr().String()
	check(relay.Close()) // deletes the allocation
	check(json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"mapped": mapped.String(), "relayed": relayed, "echoed": *count}))
}

func connection(transport, server, root string) net.PacketConn {
	authorities := x509.NewCertPool()
	if root != "" {
		text, err := os.ReadFile(root)
		check(err)
		authorities.AppendCertsFromPEM(text)
	}
	var stream net.Conn
	var err error
	switch transport {
	case "udp":
		socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
		check(err)
		return socket
	case "tcp":
		stream, err = net.Dial("tcp4", server)
	case "tls":
		stream, err = tls.Dial("tcp4", server, &tls.Config{RootCAs: authorities, ServerName: "localhost"})
	case "dtls":
		var address *net.UDPAddr
		address, err = net.ResolveUDPAddr("udp4", server)
		check(err)
		stream, err = dtls.Dial("udp4", address, &dtls.Config{RootCAs: authorities, ServerName: "localhost"})
	default:
		log.Fatalf("no transport %q", transport)
	}
	check(err)
	if transport == "dtls" {
		return datagrams{stream}
	}
	return turn.NewSTUNConn(stream) // it splits the stream into frames by their lengths with padding
}

// DTLS carries datagrams like UDP, but only to one address; pion's ICE does the same.
type datagrams struct{ net.Conn }

func (d datagrams) ReadFrom(buffer []byte) (int, net.Addr, error) {
	length, err := d.Read(buffer)
	return length, d.RemoteAddr(), err
}

func (d datagrams) WriteTo(buffer []byte, _ net.Addr) (int, error) { return d.Write(buffer) }

func echo(peer net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		length, from, err := peer.ReadFrom(buffer)
		if err != nil {
			return
		}
		if _, err = peer.WriteTo(buffer[:length], from); err != nil {
			return
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
