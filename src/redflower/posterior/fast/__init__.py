"""The fast engine: quadrature by the emulator, its check against the exact density, importance weights."""
