"""What the proxy costs, beside a bare relay and a naive translator, all measured in one run (bench/README.md)."""
