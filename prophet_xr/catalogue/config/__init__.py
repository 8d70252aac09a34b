"""Any config.json of a Mixture-of-Experts model -> one exact row of the catalogue."""
