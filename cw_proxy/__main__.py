"""`python -m cw_proxy` is `cw-proxy`."""

from cw_proxy.cli import main

main()
