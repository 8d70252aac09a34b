"""What Prophet gives on a server under load."""
