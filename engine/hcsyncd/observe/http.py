"""The operators' HTTP listener: ``/metrics``, ``/healthz`` (the daemon answers) and ``/readyz`` (it can do its
work)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from hcsyncd.errors import ConfigError
from hcsyncd.observe.metrics import CONTENT_TYPE, Metrics, Readings


class OperatorListener:
    """``readiness`` gives the reasons why the daemon is not ready, none when it is; ``readings`` the gauges that no
    event feeds. Both are called in the event loop at each request."""

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Metrics,
        readings: Callable[[], Readings],
        readiness: Callable[[], list[str]],
    ) -> None:
        self._host = host
        self._port = port
        self._metrics = metrics
        self._readings = readings
        self._readiness = readiness
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """``127.0.0.1:9464``, with the port that was taken; "" when it is not started."""
        if self._runner is None or not self._runner.addresses:
            return ""
        host, port = self._runner.addresses[0][:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def start(self) -> None:
        """Bind. Raises ConfigError when the address cannot be had."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/metrics", self._serve_metrics),
                web.get("/healthz", self._serve_health),
                web.get("/readyz", self._serve_readiness),
            ]
        )
        runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(
                f"the operators' HTTP listener cannot have {self._host}:{self._port}: {error.strerror or error}"
                "; change http.host or http.port in hcsyncd.yaml"
            ) from error
        self._runner = runner

    async def stop(self) -> None:
        """Let go of the address. Safe to call twice."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _serve_metrics(self, _request: web.Request) -> web.Response:
        readings = self._readings()
        text = await asyncio.to_thread(self._metrics.render, readings)  # tens of milliseconds with many channels
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def _serve_health(self, _request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _serve_readiness(self, _request: web.Request) -> web.Response:
        reasons = self._readiness()
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)
