"""What a browser is told of the page: nothing inline, nothing from elsewhere, in no frame."""

from __future__ import annotations

from flask import Response
from secure import (
    CacheControl,
    ContentSecurityPolicy,
    CrossOriginOpenerPolicy,
    PermissionsPolicy,
    ReferrerPolicy,
    Secure,
    StrictTransportSecurity,
    XContentTypeOptions,
    XFrameOptions,
)

from api.services import services

_YEAR_SECONDS = 365 * 24 * 3600

#: Pico's arrows and ticks are images in its style sheet, hence ``data:``.
_POLICY = (
    ContentSecurityPolicy()
    .default_src("'none'")
    .script_src("'self'")
    .style_src("'self'")
    .img_src("'self'", "data:")
    .connect_src("'self'")
    .form_action("'self'")
    .base_uri("'none'")
    .frame_ancestors("'none'")
)


def _headers(*, hsts: bool) -> Secure:
    return Secure(
        csp=_POLICY,
        cache=CacheControl().no_store(),
        coop=CrossOriginOpenerPolicy().same_origin(),
        permissions=PermissionsPolicy().geolocation().camera().microphone(),
        referrer=ReferrerPolicy().no_referrer(),
        xcto=XContentTypeOptions().nosniff(),
        xfo=XFrameOptions().deny(),
        hsts=StrictTransportSecurity().max_age(_YEAR_SECONDS) if hsts else None,
    )


_PLAIN, _OVER_TLS = _headers(hsts=False), _headers(hsts=True)


def secure_response(response: Response) -> Response:
    """What the view has said of keeping the answer stays: a file of the page may be kept."""
    keep = response.headers.get("Cache-Control")
    (_OVER_TLS if services().settings.dashboard_https else _PLAIN).set_headers(response)
    if keep is not None:
        response.headers["Cache-Control"] = keep
    return response
