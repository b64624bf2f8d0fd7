from __future__ import annotations

from typing import Any

from lightning_fabric import Fabric


def fabric_on(accelerator: str, **settings: Any) -> Fabric:
    """Lightning's Fabric. Raises ValueError, which says which there are, for a device or precision that is not, or not here."""
    try:
        return Fabric(accelerator=accelerator, **settings)
    except (ValueError, RuntimeError) as error:
        raise ValueError(str(error)) from error
