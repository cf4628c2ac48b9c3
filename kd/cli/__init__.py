"""The commands of `kd`. May import every other package, and none imports it."""
