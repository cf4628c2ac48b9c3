"""From a study file to checked runs and the paths of their files, without torch.

May import `runtime`, `axes`, `data` and `encoders`.
"""
