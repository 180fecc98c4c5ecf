"""cw-proxy: OpenAI-speaking tools on AWS CodeWhisperer / Amazon Q Developer."""

# A literal on purpose: importlib.metadata costs 50 ms of every `cw-proxy --help`.
__version__ = "0.1.0"
