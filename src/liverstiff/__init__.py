"""LiverStiff: liver stiffness (kPa) from routine non-contrast MRI and the health record."""

__version__ = "0.1.0"
