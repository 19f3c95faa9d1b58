"""The databases that connectors read, as far as `kplan discover` looks into them."""
