// Command scripted is the scripted agent as a program of its own.
package main

import "deadman/internal/simtest/agent"

func main() { agent.Main() }
