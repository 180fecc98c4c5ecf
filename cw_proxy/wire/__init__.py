"""Bytes to frames and back: framings that both sides of the proxy, and the emulator, share."""
