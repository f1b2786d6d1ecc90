"""CMP (RFC 9810) over HTTP (RFC 9811): asking a CA elsewhere, as a registration authority."""
