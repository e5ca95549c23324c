"""The compiled E-step, and the coefficients that it takes."""
