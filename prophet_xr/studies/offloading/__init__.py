"""What offloading experts to host memory costs."""
