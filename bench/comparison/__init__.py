"""Two commits, measured in one run with the load generator of this tree: is a hot path slower?"""
