"""How models scale over several GPUs."""
