// Command gateway is the scripted agent of the replayed incidents as a program.
package main

import "deadman/internal/simtest/gateway"

func main() { gateway.Main() }
