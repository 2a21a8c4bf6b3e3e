"""The options of alerts: bounds of a channel over those of the daemon, and sinks that give nothing away."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcsyncd.config.alerts import AlertOptions, ChannelAlertOptions, bounds_for
from tests.fakes.site_folder import SOURCE, SiteFolder


@pytest.fixture
def site(tmp_path: Path) -> SiteFolder:
    return SiteFolder(tmp_path)


def test_a_channel_says_what_differs() -> None:
    own = ChannelAlertOptions(queue_age_secs=0, hours="07:00-19:00")
    bounds = bounds_for(own, AlertOptions(queue_depth=5))
    assert (bounds.queue_age_secs, bounds.queue_depth, bounds.hours) == (0, 5, "07:00-19:00")
    assert bounds.down_secs == AlertOptions().down_secs


def test_a_site_says_who_is_told_and_of_what(site: SiteFolder) -> None:
    site.write("secrets/hook", "https://chat.example/T0/secret").folder.joinpath("secrets/hook").chmod(0o600)
    site.write(
        "hcsyncd.yaml",
        "alerts:\n  owner: interface team\n  for_secs: 30\n  webhook: {url: '${secret:hook}'}\n"
        "  email: {host: mail.example, from: hub@example.org, to: [night@example.org]}\n",
    )
    site.write("channels/adt_in.yaml", SOURCE + 'alerts: {silent_after_secs: 900, hours: "Mon-Fri 07:00-19:00"}\n')
    loaded = site.site()
    alerts = loaded.daemon.alerts
    assert alerts.webhook is not None
    assert alerts.webhook.url.get_secret_value() == "https://chat.example/T0/secret"
    assert alerts.email is not None
    assert (alerts.email.sender, alerts.email.port, alerts.email.security) == ("hub@example.org", 587, "starttls")
    assert loaded.channels["adt_in"].options.alerts.silent_after_secs == 900
    assert "T0" not in repr(alerts)


@pytest.mark.parametrize(
    ("alerts", "code", "text"),
    [
        ("hours: 9 to 5", "bad-value", "are no hours; write them like Mon-Fri 07:00-19:00"),
        ("webhook: {url: chat.example}", "bad-value", "alerts.webhook.url: write it as https://host/path"),
        ("email: {host: m, from: hub, to: [a@b.c]}", "bad-value", "write one address as name@host"),
        ("email: {host: m, from: a@b.c, to: ['a@b.c, d@e.f']}", "bad-value", "write one address as name@host"),
        (
            "email: {host: m, from: a@b.c, to: [a@b.c], user: hub, security: none}",
            "bad-value",
            "a login needs security: starttls or tls",
        ),
        ("queue_age_sec: 3", "unknown-option", "did you mean queue_age_secs?"),
        ("webhook: {url: 'https://chat.example/x'}", "literal-secret", "stands in the file"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(site: SiteFolder, alerts: str, code: str, text: str) -> None:
    site.write("hcsyncd.yaml", f"alerts:\n  {alerts}\n")
    found = [finding for finding in site.findings() if code in finding]
    assert len(found) == 1
    assert text in found[0]
    assert found[0].startswith("hcsyncd.yaml:2:")
