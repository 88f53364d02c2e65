"""The reference engine: chains of the No-U-Turn sampler, and what they say of a star."""
