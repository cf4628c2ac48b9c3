"""Reports on a study: plan, status, what crashes left behind, and the collection of its results.

May import all packages but `cli` and `jobs`. Planning loads no torch, transformers or pandas.
"""
