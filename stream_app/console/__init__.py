"""The built-in web page: read-only, on the embedded store, at localhost."""
