package probetest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// loopback matches addresses of this machine with a port that the kernel chose.
var loopback = regexp.MustCompile(`127\.0\.0\.1:[0-9]{4,5}`)

// overdue matches what net/http says when its timeout ends an attempt before there is an answer.
// Which of these it says is decided by a race between its timer and that of its context.
var overdue = regexp.MustCompile(`^(Get "[^"]*": )(context deadline exceeded|net/http: request canceled( while waiting for connection)?)( \(Client\.Timeout exceeded while awaiting headers\))?$`)

// Normal writes SERVER for the address of the server on a port, and CLIENT for others that the
// kernel chose, and TIMEOUT for all texts of a timeout without an answer: what is left of a message is the same in every run.
func Normal(message string, port int) string {
	server := fmt.Sprintf("127.0.0.1:%d", port)
	message = loopback.ReplaceAllStringFunc(message, func(found string) string {
		if found == server {
			return "SERVER"
		}
		return "CLIENT"
	})
	message = overdue.ReplaceAllString(message, "${1}TIMEOUT")
	if port == closedPort {
		message = strings.ReplaceAll(message, "127.0.0.1:"+strconv.Itoa(closedPort), "SERVER")
	}
	return message
}
