"""The published study: how much context Prophet buys, and what becomes of each claim."""
