"""``python -m prophet_xr``."""

from prophet_xr.cli import main

if __name__ == "__main__":
    main()
