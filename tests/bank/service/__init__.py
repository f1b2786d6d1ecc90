"""The service, on real sockets."""
