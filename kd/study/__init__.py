"""From a study file to checked runs and the paths of their files, without torch. May import what
stands before it in the order of `kd`.
"""
