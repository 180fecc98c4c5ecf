"""An OpenAI-compatible server on the emulator's port: the same rules and scripts, answered as chat completions.

It is what the proxy's second backend is tried on, and as strict as OpenAI about requests.
"""
