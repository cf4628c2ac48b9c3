"""What a study can show before it runs: smallest detectable differences and seeds that it needs."""
