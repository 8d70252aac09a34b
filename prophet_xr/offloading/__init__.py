"""What offloading experts costs: sweeps -> regions, tables, figures and a report.

Everything is one cube over ordinary axes, and selections from it; nothing here computes a cost.
"""
