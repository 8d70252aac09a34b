"""Six studies on top of the library; none of them knows another."""
