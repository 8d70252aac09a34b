"""Which conclusions survive other assumptions."""
