"""The JSON Schema of a file, for editors that complete and check while somebody writes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _FileSchema(GenerateJsonSchema):
    """Schema of what a person writes: no title repeats a key, no ``null`` (an empty key is an error)."""

    schema_dialect = DIALECT

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        inner: CoreSchema = schema["schema"]
        return self.generate_inner(inner)

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        described = super().default_schema(schema)
        if described.get("default", "") is None:
            del described["default"]
        return described


def json_schema(model: type[BaseModel], *, title: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a file that holds this model.

    Args:
        model: the whole file.
        title: what editors call the schema.
    """
    generated = model.model_json_schema(by_alias=True, schema_generator=_FileSchema)
    return {"$schema": DIALECT, **generated, "title": title}
