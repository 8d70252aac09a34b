"""Serving under load: requests that come and go, and the batch that they make of each step."""
