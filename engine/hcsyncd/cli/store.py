"""`hcsyncd store`: copies of what is stored, whether it is sound, and the keys that it is sealed under."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from hcsyncd.cli.display import json_option, note, show_facts, show_json, show_line, size
from hcsyncd.cli.moments import age, local
from hcsyncd.cli.selection import confirm
from hcsyncd.cli.site import ask, data_folder, site_option
from hcsyncd.cli.storing.export import Pseudonyms, export
from hcsyncd.cli.storing.offline import master_key, restore_offline
from hcsyncd.config.sealing import KEY_BYTES, write_key
from hcsyncd.errors import DaemonAbsent, StoreError
from hcsyncd.store.offline import offline_store

Json = dict[str, Any]
LONG_SECS = 86_400.0  # what reads the whole store may take as long as it takes

_FILE = click.Path(dir_okay=False, path_type=Path, resolve_path=True)


@click.group(name="store")
def command() -> None:
    """Back up, restore, verify, export and seal the store.

    \b
    Example:
      hcsyncd store status
      hcsyncd store backup /var/backups/hcsyncd
    """


@command.command()
@json_option
@site_option
def status(*, site: Path, as_json: bool) -> None:
    """Show the store's size, its last backup, and how far it is sealed.

    \b
    Example:
      hcsyncd store status
    """
    try:
        shown = ask(site, "store.status")
    except DaemonAbsent:
        with offline_store(data_folder(site)) as store:
            shown = msgspec.to_builtins(store.status())
    if as_json:
        show_json(shown)
    else:
        _show_status(shown, time.time_ns() // 1000)


def _show_status(shown: Json, now: int) -> None:
    file, keys = shown["file"], shown["keys"]
    facts = [
        ("store", shown["name"]),
        ("file", file["path"]),
        ("size", size(file["bytes"])),
        ("of it free", size(file["free_bytes"])),
        ("log", size(file["log_bytes"])),
        ("form", file["form"]),
        ("gives space back", "yes" if file["gives_back"] else "no: stop the daemon, and `hcsyncd store compact`"),
        ("last backup", _backup_of(file, now)),
        ("sealed", f"with key {keys['master']}" if keys["sealed"] else "no: `encryption` of hcsyncd.yaml"),
    ]
    if keys["sealed"]:
        facts.append(("data key", f"{keys['data_key']}, since {local(keys['made_at'])}"))
    if keys["rows"]:
        share = 100 * keys["done"] // keys["rows"]
        facts.append(("being sealed", f"{keys['done']} of {keys['rows']} rows ({share} %)"))
    if keys["remnants"] and not keys["rows"]:
        facts.append(("clear remnants", "in unused places: stop the daemon, and `hcsyncd store compact`"))
    if keys["failed"]:
        facts.append(("not opened", f"{keys['failed']} values: `hcsyncd store verify --all`"))
    show_facts(facts)


def _backup_of(file: Json, now: int) -> str:
    if not file["backup_at"]:
        return "none was made while the daemon ran"
    return f"{local(file['backup_at'])} ({age(file['backup_at'], now)}): {file['backup_file']}"


@command.command()
@click.argument("target", type=click.Path(path_type=Path, resolve_path=True))
@json_option
@site_option
def backup(*, site: Path, as_json: bool, target: Path) -> None:
    """Write a verified copy of the store to TARGET: a folder that is there, or a file that is not there yet. A running
    daemon goes on working; the copy shows the store as it was when it began. Sealed values stay sealed: keep the key
    apart.

    \b
    Example:
      hcsyncd store backup /var/backups/hcsyncd
    """
    try:
        made = ask(site, "store.backup", {"file": str(target)}, LONG_SECS)
    except DaemonAbsent:
        with offline_store(data_folder(site)) as store:
            made = msgspec.to_builtins(store.back_up(target, time.time_ns() // 1000))
    if as_json:
        show_json(made)
        return
    counts = made["manifest"]["counts"]
    show_line(made["file"])
    note(
        f"{size(made['manifest']['bytes'])}, {counts['messages']} messages, {counts['deliveries']} deliveries; verified"
    )


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True))
@click.option("--replace", is_flag=True, help="Move the store that is there aside, and keep it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@site_option
def restore(*, site: Path, as_json: bool, file: Path, replace: bool, yes: bool) -> None:
    """Put the backup FILE in the place of the store. The daemon must be stopped. The backup is verified before and
    after it is copied, and the store changes whole or not at all.

    What was acknowledged since the backup is not in it, and its senders will not send it again by themselves; what was
    delivered since is delivered again, under the same idempotency keys.

    \b
    Example:
      hcsyncd store restore --replace /var/backups/hcsyncd/hcsyncd-5f0c9a-20261122T140000Z.db
    """
    confirm(f"Put {file.name} in the place of the store in {data_folder(site)}?", yes=yes)
    restored = restore_offline(site, file, replace=replace)
    if as_json:
        show_json(msgspec.to_builtins(restored))
        return
    manifest = restored.manifest
    show_line(f"the store is as it was at {manifest.moment}: {manifest.counts.messages} messages")
    show_line(f"ids go on above {restored.ids_from}")
    if restored.aside:
        show_line(f"the store that was there is kept: {restored.aside}-* in {data_folder(site)}")


@command.command()
@click.option("--all", "every_value", is_flag=True, help="Open every sealed value, and not a sample.")
@json_option
@site_option
def verify(*, site: Path, as_json: bool, every_value: bool) -> None:
    """See whether the store is whole: its file, its references, its counts, its seals and its audit log. Exits 1 when
    something is not right.

    \b
    Example:
      hcsyncd store verify --all
    """
    try:
        found = ask(site, "store.verify", {"every_value": every_value}, LONG_SECS)
    except DaemonAbsent:
        with offline_store(data_folder(site)) as store:
            found = msgspec.to_builtins(store.verify(master_key(site), every_value=every_value))
    if as_json:
        show_json(found)
    else:
        _show_verification(found)
    if found["problems"]:
        raise click.exceptions.Exit(1)


def _show_verification(found: Json) -> None:
    balance = found["balance"]
    parts = " + ".join(f"{balance[name]} {name}" for name in ("delivered", "filtered", "dead", "open"))
    show_line(f"{balance['messages']} messages in = {parts}")
    if found["sealed"]:
        show_line(
            f"{found['opened']} sealed values opened{'' if found['complete'] else ' (a sample; --all opens all)'}"
        )
    for problem in found["problems"]:
        show_line(f"{problem['code']}: {problem['text']}")
    count = len(found["problems"])
    show_line("the store is whole" if not count else f"{count} finding{'s' * (count != 1)}")


@command.command(name="export")
@click.argument("file", type=_FILE)
@click.option("--pseudonym-key", type=_FILE, help="Give the same pseudonyms as other exports with this key file.")
@json_option
@site_option
def export_store(*, site: Path, as_json: bool, file: Path, pseudonym_key: Path | None) -> None:
    """Write a de-identified extract to FILE, an SQLite database for analysts: messages, deliveries and attempts with
    their times, states and sizes. No bodies and no texts; control ids, peers, lanes and business keys as pseudonyms.

    \b
    Example:
      hcsyncd store export november.sqlite
    """
    counts = export(site, file, Pseudonyms.of(pseudonym_key))
    if as_json:
        show_json({"file": str(file), **counts})
        return
    show_line(str(file))
    note(", ".join(f"{count} {table}" for table, count in counts.items()))


@command.command(name="make-key")
@click.argument("file", required=False, type=_FILE)
def make_key(*, file: Path | None) -> None:
    """Make a master key: print it, or write it to FILE, which only its owner can read and which may not be there yet.

    \b
    Example:
      hcsyncd store make-key secrets/store_key
    """
    text = write_key(os.urandom(KEY_BYTES))
    if file is None:
        show_line(text)
        return
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise StoreError(f"cannot make the key file {file}: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(f"{text}\n")
    note(f"{file}: keep a copy apart from the store and its backups, which cannot be opened without it")


@command.command(name="rotate-key")
@click.option("--master", type=_FILE, metavar="NEWKEYFILE", help="Change the master key too, to the one in this file.")
@json_option
@site_option
def rotate_key(*, site: Path, as_json: bool, master: Path | None) -> None:
    """Seal under a fresh data key from now on, while the daemon runs. What is stored follows in the background: see
    `hcsyncd store status`. The daemon's user must be able to read NEWKEYFILE.

    \b
    Example:
      hcsyncd store make-key secrets/store_key.new
      hcsyncd store rotate-key --master secrets/store_key.new
    """
    done = ask(site, "store.rotate", {"file": str(master) if master else ""})
    if as_json:
        show_json(done)
        return
    show_line(f"data key {done['data_key']} seals from now on; what is stored follows: hcsyncd store status")
    if master:
        show_line(
            f"the master key is {done['master']} now: let `encryption` of hcsyncd.yaml name it before the next start,"
            " which is refused with the old one; keep the old one for the backups of its time"
        )


@command.command()
@json_option
@site_option
def compact(*, site: Path, as_json: bool) -> None:
    """Build the store's file anew, as small as it can be and without anything that was deleted. The daemon must be
    stopped; it takes as much free disk again as the store is large.

    \b
    Example:
      hcsyncd store compact
    """
    with offline_store(data_folder(site)) as store:
        before, after = store.compact()
    if as_json:
        show_json({"before_bytes": before, "after_bytes": after})
    else:
        show_line(f"{size(before)} before, {size(after)} now")
