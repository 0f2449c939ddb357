"""The thin AWS client: HTTP/1.1 pool, signatures, credentials, endpoints."""
