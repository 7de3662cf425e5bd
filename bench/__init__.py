"""What the server costs, side by side with what it could cost at least. `python -m bench --help`."""
