"""The flow core beside hand-written code and its peers: `make bench`."""
