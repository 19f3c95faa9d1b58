"""The databases that connectors read, as far as `kplan discover` and plans read them."""
