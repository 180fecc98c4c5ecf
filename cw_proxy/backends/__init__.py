"""The upstream languages: each turns a Request into a wire call, and an answer's bytes into events."""
