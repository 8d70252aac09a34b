"""What the published study says, and what several studies read of it."""
