"""The companion service's lists (upstream.md §3): models and profiles.

In: response bodies. Out: a Catalog page, profile ARNs. Refuses to know caching, aliases and who asks.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from cw_proxy.errors import UpstreamProtocol
from cw_proxy.interfaces import Catalog, ModelInfo


class _Limits(msgspec.Struct, rename="camel"):
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None


class _Model(msgspec.Struct, rename="camel"):
    model_id: str
    model_name: str | None = None
    description: str | None = None
    token_limits: _Limits | None = None
    # Reported, not part of the public model (upstream.md §1.3): whatever it is, the list must stay readable.
    additional_model_request_fields_schema: Any = None


class _Models(msgspec.Struct, rename="camel"):
    models: list[_Model]
    default_model: _Model | None = None
    next_token: str | None = None


class _Profile(msgspec.Struct):
    arn: str


class _Profiles(msgspec.Struct):
    profiles: list[_Profile] = []


Shape = TypeVar("Shape")


def parse_models(body: bytes) -> tuple[Catalog, str | None]:
    page = _parse(body, _Models)
    default = page.default_model.model_id if page.default_model else None
    return Catalog(tuple(map(_info, page.models)), default), page.next_token


def parse_profiles(body: bytes) -> list[str]:
    return [profile.arn for profile in _parse(body, _Profiles).profiles]


def _parse(body: bytes, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise UpstreamProtocol(f"The service's list could not be read: {fault}") from None


def _info(model: _Model) -> ModelInfo:
    limits = model.token_limits or _Limits()
    fields = model.additional_model_request_fields_schema
    return ModelInfo(
        id=model.model_id,
        name=model.model_name or "",
        description=model.description or "",
        max_input_tokens=limits.max_input_tokens,
        max_output_tokens=limits.max_output_tokens,
        fields=fields if isinstance(fields, dict) else {},
    )
