"""The collection a run fills: is it ready, and does the alias point to it?"""
