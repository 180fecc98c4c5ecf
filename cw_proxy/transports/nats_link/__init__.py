"""NATS: a micro service that answers on a subject, and a small client that asks there."""
