"""A faithful Kalshi on loopback: the demo, the tests and the benchmarks run against it, and it knows what it sent."""
