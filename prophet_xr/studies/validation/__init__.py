"""The laws and the predictions against measured rows."""
