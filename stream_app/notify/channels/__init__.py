"""Where notices go, a file each; :func:`~stream_app.notify.opening.opened` makes them of the configuration."""
