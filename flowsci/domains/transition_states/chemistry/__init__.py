"""Chemistry at GFN2-xTB: reactions found, saddles refined and checked.

Light to import. Positions are (n, 3) in Å, energies in eV, gradients in eV/Å, wavenumbers in cm⁻¹.
"""
