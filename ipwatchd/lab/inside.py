"""The lab itself, process 1 of its own namespaces (see shelter): builds, plays, sums up, ends."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import subprocess
import sys
import termios
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.control.client import RefusedError, UnreachableError
from ipwatchd.lab import shelter
from ipwatchd.lab.case_day import play_cases
from ipwatchd.lab.case_expect import judge_cases
from ipwatchd.lab.case_stage import open_cases, prepare
from ipwatchd.lab.expect import judge_scene, pending
from ipwatchd.lab.programs import ProgramError
from ipwatchd.lab.site import HOSTS, Site, build
from ipwatchd.lab.stage import Stage
from ipwatchd.lab.summary import Narrator, incident_lines, played, verdict_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.lab.case_scene import Scene
    from ipwatchd.lab.expect import Seen, Verdict

__all__ = ["main"]

_SLOW: Final = 4.0
"""How much slower the day goes under the TUI than in one run."""
_DAYS: Final = 10
_STOPPED: Final = 130


async def _once(stage: Stage) -> int:
    """Play the day and the night once and sum up; 0 where everything expected happened."""
    watcher = asyncio.create_task(stage.conductor.watch())
    try:
        await stage.conductor.play()
        seen, verdicts = await stage.conductor.settle()
        stage.narrator.heading("The centre is away")
        verdicts["resilience"] = judge_scene(await stage.conductor.cut_off())
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    _sum_up(stage, seen, verdicts)
    return 1 if pending(verdicts) else 0


def _sum_up(stage: Stage, seen: Seen, verdicts: dict[str, list[Verdict]]) -> None:
    line = stage.narrator.line
    stage.narrator.heading("Summary")
    line(f"played: {played(stage.truth.deeds)}")
    line(f"seen:   {len(seen.flows)} flows, {len(seen.events)} events")
    stage.narrator.heading("Incidents of the site")
    for text in incident_lines(seen.incidents[::-1]):
        line(text)
    _judged(stage, verdicts)


def _judged(stage: Stage, verdicts: dict[str, list[Verdict]]) -> None:
    line, paint = stage.narrator.line, stage.narrator.paint
    for part, ones in verdicts.items():
        stage.narrator.heading(part.capitalize())
        for text in verdict_lines(ones, paint):
            line(text)
    missing = pending(verdicts)
    total = sum(len(ones) for ones in verdicts.values())
    if missing:
        verdict = paint(f"{len(missing)} of {total} expected things did not happen.", "red")
    else:
        verdict = paint(f"All {total} expected things happened.", "green")
    stage.narrator.heading(verdict)


async def _cases(stage: Stage, scene: Scene) -> int:
    """Play the day of cases and sum up; 0 where everything expected happened."""
    story = await play_cases(scene)
    verdicts = judge_cases(story)
    rows = list(story.incidents.values())
    stage.narrator.heading("Summary")
    stage.narrator.line(
        f"played: {len(rows)} cases by {story.commands} commands of ipwatchctl; pages: "
        f"{len(story.mails)} mails and {len(story.hooks)} web hooks of the site, "
        f"{len(story.far_mails)} mails of the centre; letters: {len(story.letters)}"
    )
    _judged(stage, verdicts)
    return 1 if pending(verdicts) else 0


def _terminal_state() -> list[Any]:
    return termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else []


def _restore(state: list[Any]) -> None:
    """Give the terminal back as a UI that was ended leaves it not (xterm's ctlseqs)."""
    if state:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, state)
    # normal screen, cursor shown, no mouse reports, no bracketed paste, no focus reports
    modes = ("?1049l", "?25h", "?1000l", "?1002l", "?1003l", "?1006l", "?2004l", "?1004l")
    print("".join(f"\033[{mode}" for mode in modes), end="", flush=True)


async def _terminal(stage: Stage) -> int:
    """Play days slowly behind the TUI until it is left; then say shortly what happened."""

    async def days() -> None:
        for _ in range(_DAYS):
            await stage.conductor.play(pace=_SLOW)

    playing = asyncio.create_task(days())
    command = [sys.executable, "-m", *stage.gateway.command("tui")]
    terminal = _terminal_state()
    with stage.gateway.namespace.inside():
        # started in one go: a namespace belongs to the thread, so nothing may be awaited here
        screen = subprocess.Popen(command)  # noqa: ASYNC220 - see above
    try:
        status = await asyncio.to_thread(screen.wait)
    finally:
        if screen.poll() is None:
            screen.terminate()
            screen.wait()
            _restore(terminal)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
    told = await stage.gateway.ctl("incidents", "list")
    print(f"played: {played(stage.truth.deeds)}")
    print(told.rstrip())
    return status


async def _lab(site: Site, state: Path, leash: int, play: str) -> int:
    loop = asyncio.get_running_loop()
    mine = asyncio.current_task()
    loop.add_reader(leash, lambda: (loop.remove_reader(leash), mine.cancel() if mine else None))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # the terminal's Ctrl-C reaches us too; it is the leash that says when to go
        loop.add_signal_handler(number, lambda: None)
    async with AsyncExitStack() as stack:
        log = stack.enter_context((state / "day.log").open("a", encoding="utf-8", buffering=1))
        out = log if play == "tui" else sys.stdout
        narrator = Narrator(lambda line: print(line, file=out, flush=True), colours=out.isatty())
        begun = time.monotonic()
        props = prepare(state) if play == "cases" else None
        stage = Stage(site, state, narrator, props.options if props else ())
        if play == "tui":
            print("starting the site, its gateway and the centre …", flush=True)
        try:
            scene = await open_cases(site, stage, stack, props) if props else None
            if scene is None:
                await stage.open(stack)
            narrator.say(
                f"{len(HOSTS)} hosts, a gateway with ipwatchd and a centre are up "
                f"({time.monotonic() - begun:.1f} s)"
            )
            if scene is not None:
                return await _cases(stage, scene)
            return await (_once(stage) if play == "once" else _terminal(stage))
        except BaseExceptionGroup as failed:
            # the first is why; the others were ended because of it
            raise failed.exceptions[0] from failed
        except (UnreachableError, RefusedError) as error:
            words = stage.gateway.program.last_words()
            raise ProgramError(f"{error}; the daemon's last words:\n{words}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the lab inside its namespaces; 130 where the leash was let go."""
    parser = argparse.ArgumentParser(prog="ipwatchd.lab.inside", description=__doc__)
    parser.add_argument("--leash", type=int, required=True)
    parser.add_argument("--play", choices=("tui", "once", "cases"), default="tui")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args(arguments)
    try:
        state = args.keep or shelter.tmpfs()
        with ExitStack() as namespaces:
            # before the event loop runs: pyroute2 brings its own
            site = build(namespaces)
            return asyncio.run(_lab(site, state, args.leash, args.play))
    except asyncio.CancelledError:
        return _STOPPED
    except (ProgramError, shelter.NoShelterError) as error:
        print(f"ipwatchd lab: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"ipwatchd lab: the site can't be built here ({error}): run sudo make lab on a machine "
            "of its own, not in a container",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(_STOPPED)
