"""Network blocks that more than one domain uses."""
