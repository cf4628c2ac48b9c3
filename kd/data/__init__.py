"""From text to packed tokens. May import `runtime` and `axes`."""
