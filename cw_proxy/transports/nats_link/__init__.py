"""Connections to NATS servers that can be trusted, for nats_in and nats_out. Knows no requests and no answers."""
