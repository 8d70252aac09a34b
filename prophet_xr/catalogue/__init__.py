"""What is known of models, cards and policies: specs.nc, and the reader of model configs."""
