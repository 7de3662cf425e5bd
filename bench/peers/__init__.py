"""Campana next to ejabberd, Prosody and Synapse: `python -m bench peers`."""
