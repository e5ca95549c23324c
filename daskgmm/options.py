"""What makes a frozen dataclass a section of the configuration file, said once for all layers."""

from __future__ import annotations

STRICT: dict[str, object] = {
    "extra": "forbid",  # an unknown key is an error
    "use_attribute_docstrings": True,  # the string below a field is its description in the schema
    "allow_inf_nan": False,
}
