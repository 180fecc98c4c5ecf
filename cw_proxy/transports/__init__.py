"""The sockets: the only place where bytes are read and written."""
