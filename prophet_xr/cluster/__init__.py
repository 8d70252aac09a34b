"""Many GPUs: how models scale over parallel plans, what fits, and the study's four systems."""
