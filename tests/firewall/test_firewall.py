"""The kernel's table against the policy: whole, by delta, after others' hands, after a crash."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipwatchd.config import FirewallSettings
from ipwatchd.firewall import Firewall
from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.policy import RANGE, Policy, empty_ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Ranges = NDArray[np.void]
    Make = Callable[..., Policy]

MIXED = (
    "0.0.0.0/8", "198.51.100.7", "198.51.100.9-198.51.100.20", "203.0.113.0/24", "240.0.0.0/4",
    "2001:db8::/32", "2001:dead::7", "fe80::/10", "ffff::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)  # fmt: skip


def singles(count: int, seed: int = 7) -> Ranges:
    """Return that many distinct ranges, four fifths of them single IPv4 addresses."""
    numbers = np.random.default_rng(seed).choice(1 << 28, count, replace=False)
    starts = np.sort(numbers).astype(np.uint64) * np.uint64(8)
    rows = np.zeros(count, RANGE)
    rows["first_lo"] = rows["last_lo"] = starts | np.uint64(V4_PREFIX)
    rows["last_lo"][::5] += np.uint64(3)
    return rows


def test_nft_shows_what_was_put_and_takes_it_back(
    site: Any, policy: Make, namespace: Callable[[str], Any], tmp_path: Any
) -> None:
    """`nft list ruleset` is readable, names every entry, and loads elsewhere to the same list."""
    with site.firewall() as firewall:
        firewall.apply(policy("enforce", MIXED, ["203.0.113.9"], ["10.0.0.0/24"]), 1000.0)
    assert site.elements("deny4") == {"198.51.100.7"}
    assert site.elements("deny6") == {"2001:dead::7"}
    assert site.elements("deny4_nets") == {
        "0.0.0.0/8", "198.51.100.9-198.51.100.20", "203.0.113.0/24", "240.0.0.0/4",
    }  # fmt: skip
    assert site.elements("deny6_nets") == {"2001:db8::/32", "fe80::/10", "ffff::/16"}
    assert site.elements("allow4") == {"203.0.113.9"}
    assert site.elements("management4") == {"10.0.0.0/24"}
    listed = site.nft("list", "ruleset")
    for line in (
        "type filter hook prerouting priority mangle; policy accept;",
        "ip saddr @deny4_nets jump source4",
        'ip6 saddr @allow6 return comment "allow beats deny"',
        "ip daddr @management4 ct direction reply accept",
        'limit rate 50/second burst 50 packets log prefix "deny drop" group 427 snaplen 128',
        "icmpv6 type @neighbour_discovery ip6 hoplimit 255 accept",
    ):
        assert line in listed
    assert "@nh" not in listed
    assert "@th" not in listed
    script = tmp_path / "listed.nft"
    script.write_text(listed)
    elsewhere = namespace("elsewhere")
    elsewhere.run(["nft", "-f", str(script)])
    again = elsewhere.run(["nft", "list", "ruleset"]).stdout
    assert again == listed


def test_a_second_apply_sends_nothing(site: Any, policy: Make) -> None:
    """The same policy twice is no transaction: the generation stays."""
    with site.firewall() as firewall:
        first = firewall.apply(policy("enforce", MIXED), 1000.0)
        generation = firewall.status().generation
        second = firewall.apply(policy("enforce", MIXED), 1000.0)
        assert (first.rebuilt, first.added) == (True, len(MIXED))
        assert (second.rebuilt, second.added, second.removed, second.messages) == (False, 0, 0, 0)
        assert firewall.status().generation == generation
        assert firewall.check(1000.0)


def test_one_more_deny_is_one_small_message(site: Any, policy: Make) -> None:
    """Whatever else is denied, one more deny is one message of under 200 bytes, batch and all."""
    many = policy("observe")._replace(deny=singles(20_000))
    with site.firewall() as firewall:
        firewall.apply(many, 1000.0)
        rows = many.deny
        one = np.sort(
            np.concatenate([rows, policy("observe", ["192.0.2.1 2000"]).deny]),
            order=["first_hi", "first_lo"],
        )
        done = firewall.apply(many._replace(deny=one), 1000.0)
        assert (done.added, done.removed, done.rebuilt, done.messages) == (1, 0, False, 1)
        assert 100 < done.bytes < 200
        back = firewall.apply(many, 1000.0)
        assert (back.added, back.removed, back.rebuilt, back.messages) == (0, 1, False, 1)
        assert not firewall.diff(many, 1000.0)


def test_a_changed_end_goes_down(site: Any, policy: Make) -> None:
    """An entry that gets longer, shorter or endless does so in the kernel (delete and add)."""
    now = time.time()
    with site.firewall() as firewall:
        for seconds in (1000, 5000, 50, 0):
            end = f" {now + seconds}" if seconds else ""
            wanted = policy("enforce", [f"192.0.2.1{end}", f"198.51.100.0/24{end}"])
            done = firewall.apply(wanted, now)
            assert done.rebuilt == (seconds == 1000)
            assert not firewall.diff(wanted, now)
            listed = site.nft("list", "ruleset")
            assert listed.count("expires") == (2 if seconds else 0)


def test_the_kernel_ends_entries_by_itself(site: Any, policy: Make) -> None:
    """Denies and allows end at their time with no daemon there; the next apply copes."""
    now = time.time()
    ends = now + 1.2
    wanted = policy(
        "enforce",
        [f"{site.OUTSIDE[4]} {ends}", f"{site.OTHER[4]}-203.0.113.4 {ends}", "192.0.2.1"],
        [f"198.51.100.1 {ends}"],
    )
    with site.listener(site.gateway, site.GATEWAY[4]):
        with site.firewall() as firewall:
            firewall.apply(wanted, now)
        assert not site.connects(site.outside, site.OUTSIDE[4], site.GATEWAY[4])
        assert not site.connects(site.outside, site.OTHER[4], site.GATEWAY[4])
        time.sleep(max(ends + 0.3 - time.time(), 0))
        assert site.connects(site.outside, site.OUTSIDE[4], site.GATEWAY[4])
        assert site.connects(site.outside, site.OTHER[4], site.GATEWAY[4])
    assert site.elements("deny4") == {"192.0.2.1"}
    assert site.elements("allow4") == set()


def test_ended_entries_are_taken_out_of_the_account(site: Any, policy: Make) -> None:
    """What ended in the kernel is neither drift nor an error, and can be denied again at once."""
    now = time.time()
    ends = now + 0.3
    short = policy("enforce", [f"192.0.2.1 {ends}", f"198.51.100.0/24 {ends}", "192.0.2.9"])
    with site.firewall() as firewall:
        firewall.apply(short, now)
        time.sleep(0.5)
        now = time.time()
        site.nft("add", "table", "inet", "other")
        assert firewall.check(now), firewall.status().drift
        longer = policy("enforce", [f"192.0.2.1 {now + 90}", "198.51.100.0/25", "192.0.2.9"])
        done = firewall.apply(longer, now)
        assert not done.rebuilt
        assert not firewall.diff(longer, now)
        site.nft("add", "chain", "inet", "other", "empty")
        assert firewall.check(now), firewall.status().drift


def test_a_clock_that_jumps(site: Any, policy: Make) -> None:
    """Forward: what has ended by the clock goes though the kernel's timer runs. Back: anew."""
    with site.firewall() as firewall:
        firewall.apply(policy("enforce", ["192.0.2.1 2000", "198.51.100.0/24 2000"]), 1000.0)
        ended = policy("enforce", ["192.0.2.9"])
        firewall.apply(ended, 3000.0)
        assert not firewall.diff(ended, 3000.0)
        assert site.elements("deny4") == {"192.0.2.9"}
        assert not firewall.check(500.0)
        assert firewall.apply(ended, 500.0).rebuilt
        assert firewall.check(500.0)


@pytest.mark.parametrize(
    "words",
    [
        "flush ruleset",
        "delete table inet ipwatchd",
        "flush table inet ipwatchd",
        "flush set inet ipwatchd deny4_nets",
        "delete element inet ipwatchd deny4 { 198.51.100.7 }",
        "add element inet ipwatchd allow4 { 192.0.2.0/24 }",
        "add element inet ipwatchd deny6_nets { 3001::/16 }",
        "insert rule inet ipwatchd prerouting accept",
        "add chain inet ipwatchd mine",
        "add table inet ipwatchd { flags dormant ; }",
    ],
)
def test_others_hands_are_seen_and_undone(site: Any, policy: Make, words: str) -> None:
    """Whatever is done to our table by hand, check tells it and apply puts it back."""
    wanted = policy("enforce", MIXED)
    with site.firewall() as firewall:
        firewall.apply(wanted, 1000.0)
        before = site.nft("list", "ruleset")
        site.nft(words)
        assert not firewall.check(1000.0)
        assert firewall.status().drift
        assert firewall.apply(wanted, 1000.0).rebuilt
        assert firewall.check(1000.0)
        assert not firewall.diff(wanted, 1000.0)
        assert site.nft("list", "ruleset") == before


def test_apply_alone_repairs_a_flush(site: Any, policy: Make) -> None:
    """Nobody called check: apply looks for itself."""
    wanted = policy("enforce", MIXED)
    with site.firewall() as firewall:
        firewall.apply(wanted, 1000.0)
        site.nft("flush", "ruleset")
        assert firewall.apply(wanted, 1000.0).rebuilt
        assert not firewall.diff(wanted, 1000.0)


def test_diff_names_what_differs(site: Any, policy: Make) -> None:
    """Stored against kernel, line by line."""
    wanted = policy("enforce", MIXED)
    with site.firewall() as firewall:
        firewall.apply(wanted, 1000.0)
        site.nft("add element inet ipwatchd deny4 { 192.0.2.66 }")
        site.nft("delete element inet ipwatchd deny6_nets { fe80::/10 }")
        found = firewall.diff(wanted, 1000.0)
        assert found.extra == ["deny4 192.0.2.66"]
        assert found.missing == ["deny6_nets fe80::/10"]
        assert (found.missing_count, found.extra_count) == (1, 1)
        other = firewall.diff(policy("observe"), 1000.0)
        assert "mode observe" in other.missing
        assert "mode enforce" in other.extra


def test_tables_of_others_stay(site: Any, policy: Make) -> None:
    """Applying, changing, repairing and removing ours leaves the neighbours' to the byte."""
    site.nft("add table inet fail2ban")
    site.nft("add set inet fail2ban bad { type ipv4_addr ; elements = { 192.0.2.1 } ; }")
    site.nft("add table ip ipwatchd")
    site.nft("add chain ip ipwatchd same_name { type filter hook input priority 0 ; }")
    before = site.nft("list", "ruleset")
    with site.firewall() as firewall:
        for mode, deny in (("observe", MIXED), ("enforce", MIXED), ("enforce", MIXED[:3])):
            firewall.apply(policy(mode, deny), 1000.0)
        assert firewall.remove()
        assert not firewall.remove()
        assert site.nft("list", "ruleset") == before


def test_modes_follow_each_other(site: Any, policy: Make) -> None:
    """Off removes the table, observe never drops, and the log's prefix says which it is."""
    with site.firewall() as firewall:
        assert firewall.apply(policy("off", MIXED), 1000.0).messages == 0
        assert firewall.check(1000.0)
        for mode, prefix in (("observe", "deny would-drop"), ("enforce", "deny drop")):
            firewall.apply(policy(mode, MIXED), 1000.0)
            assert f'log prefix "{prefix}" group' in site.nft("list", "ruleset")
            gate = site.nft("list", "set", "inet", "ipwatchd", "enforcing")
            assert ("elements" in gate) == (mode == "enforce")
            assert firewall.status().mode == mode
            assert not firewall.diff(policy(mode, MIXED), 1000.0)
        assert "drop\n" in site.nft("list", "chain", "inet", "ipwatchd", "dropped")
        firewall.apply(policy("off", MIXED), 1000.0)
        assert site.nft("list", "ruleset") == ""
        site.nft("add table inet ipwatchd")
        assert not firewall.check(1000.0)


def test_a_large_list(site: Any, policy: Make) -> None:
    """A large list loads in one transaction, lists complete, and shrinks by delta."""
    rows = singles(20_000)
    wanted = Policy("enforce", empty_ranges(), empty_ranges(), rows)
    with site.firewall() as firewall:
        assert firewall.apply(wanted, 1000.0).added == 20_000
        assert firewall.status().deny == 20_000
        site.nft("add table inet other")
        assert firewall.check(1000.0)
        fewer = wanted._replace(deny=np.delete(rows, np.s_[::100]))
        done = firewall.apply(fewer, 1000.0)
        assert (done.removed, done.added, done.rebuilt) == (200, 0, False)
        assert not firewall.diff(fewer, 1000.0)
    sets = {one["name"]: one.get("elem", []) for one in site.objects("set")}
    assert len(sets["deny4"]) + len(sets["deny4_nets"]) == 19_800


def test_the_next_start_finds_the_old_table(site: Any, policy: Make) -> None:
    """Stopped and started: the rules stood meanwhile, and then equal the new policy."""
    with site.firewall() as firewall:
        firewall.apply(policy("enforce", MIXED), 1000.0)
    assert site.elements("deny4") == {"198.51.100.7"}
    with site.firewall() as firewall:
        assert firewall.status().mode == "enforce"
        assert not firewall.check(1000.0)
        wanted = policy("enforce", ["192.0.2.1"])
        assert firewall.apply(wanted, 1000.0).rebuilt
        assert not firewall.diff(wanted, 1000.0)
    assert site.elements("deny4") == {"192.0.2.1"}


_LOADER = """
    import sys
    import numpy as np
    from ipwatchd.config import FirewallSettings
    from ipwatchd.firewall import Firewall
    from ipwatchd.records.policy import Policy, empty_ranges

    rows = np.load(sys.argv[1])
    with Firewall(FirewallSettings()) as firewall:
        print("loading", flush=True)
        for turn in range(1000):
            part = rows[turn % 2 :: 2]
            firewall.apply(Policy("enforce", empty_ranges(), empty_ranges(), part), 1000.0)
            firewall.remove() if turn % 5 == 4 else None
"""


@pytest.mark.parametrize("after", [0.0, 0.02, 0.08, 0.21])
def test_killed_in_the_middle_of_a_load(
    site: Any, policy: Make, tmp_path: Any, after: float
) -> None:
    """Kill -9 while it loads, start: the kernel equals the policy, element by element."""
    rows = singles(30_000)
    np.save(tmp_path / "rows.npy", rows)
    loader = site.gateway.popen(
        [sys.executable, "-c", textwrap.dedent(_LOADER), str(tmp_path / "rows.npy")],
        stdout=subprocess.PIPE,
    )
    with loader:
        assert loader.stdout.readline() == "loading\n"
        time.sleep(after)
        loader.send_signal(signal.SIGKILL)
    wanted = policy("enforce", ["2001:db8::/32"])._replace(deny=rows[::3])
    with site.firewall() as firewall:
        firewall.apply(wanted, 1000.0)
        assert not firewall.diff(wanted, 1000.0)
    listed = site.elements("deny4") | site.elements("deny4_nets")
    assert len(listed) == len(rows[::3])


def test_a_refusal_is_one_sentence_and_changes_nothing(site: Any, policy: Make) -> None:
    """Overlapping ranges break the compiler's promise: refused whole, the old rules stand."""
    bad = policy("enforce")._replace(
        deny=policy("", ["192.0.2.0/24", "192.0.2.128/25", "192.0.2.0/25"]).deny
    )
    with site.firewall() as firewall:
        firewall.apply(policy("enforce", ["198.51.100.0/24"]), 1000.0)
        with pytest.raises(OSError, match=r"^the kernel refused NFT_MSG_NEWSETELEM: File exists"):
            firewall.apply(bad, 1000.0)
        assert "NEWSETELEM" in firewall.status().last_error
        assert site.elements("deny4_nets") == {"198.51.100.0/24"}


def test_without_the_privilege(site: Any) -> None:
    """A process without CAP_NET_ADMIN is told its name."""
    code = """
        import os, sys
        from ipwatchd.config import FirewallSettings
        from ipwatchd.firewall import Firewall
        os.setuid(65534)
        try:
            Firewall(FirewallSettings()).open()
        except PermissionError as error:
            print(error)
    """
    done = site.gateway.run([sys.executable, "-c", textwrap.dedent(code)])
    assert "CAP_NET_ADMIN" in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_closed_firewall_says_so() -> None:
    """Calls before open() name the mend."""
    with pytest.raises(OSError, match=r"call open\(\) first"):
        Firewall(FirewallSettings()).status()


def test_a_hastened_deny_is_there_before_its_entry(site: Any, policy: Make) -> None:
    """It drops at once; the next put makes it the entry's, or takes it out; nobody sees drift."""
    outside, now = site.OUTSIDE[4], time.time()
    early = policy("", [outside, site.OUTSIDE[6]]).deny
    with site.firewall() as firewall, site.listener(site.gateway, site.GATEWAY[4]):
        assert not firewall.hasten(early, now)
        firewall.apply(policy("enforce", ["192.0.2.1"]), now)
        for entries in ([f"{outside} {now + 3600}"], ["203.0.113.0/30"], []):
            firewall.apply(policy("enforce", ["192.0.2.1"]), now)
            assert firewall.hasten(early[:1], now)
            assert firewall.hasten(early, now)
            assert not site.connects(site.outside, outside, site.GATEWAY[4])
            site.nft("add table inet other")
            assert firewall.check(now), firewall.status().drift
            wanted = policy("enforce", ["192.0.2.1", *entries])
            done = firewall.apply(wanted, now)
            assert not done.rebuilt
            assert not firewall.diff(wanted, now)
            assert site.connects(site.outside, outside, site.GATEWAY[4]) == (not entries)
        firewall.hasten(early, now)
        firewall.recall(early[:1], now)
        assert firewall.diff(wanted, now).extra_count == 1
        firewall.recall(early, now)
        assert firewall.apply(wanted, now).messages == 0
        assert not firewall.diff(wanted, now)
        assert firewall.check(now)
        site.nft("flush ruleset")
        assert not firewall.hasten(early, now)
        firewall.apply(wanted, now)
        assert not firewall.diff(wanted, now)


def test_of_another_feed_only_the_difference_goes_down(site: Any, policy: Make) -> None:
    """100,000 entries of a feed of which 1 % are others: 1,000 in and 1,000 out, in a few KB."""
    rows, other = singles(100_000), singles(101_000, seed=8)
    kept = np.delete(rows, np.s_[::100])
    fresh = np.setdiff1d(other["first_lo"], rows["first_lo"], assume_unique=True)[::101][:1000]
    more = other[np.isin(other["first_lo"], fresh)]
    wanted = policy("enforce")._replace(bulk_deny=rows)
    replaced = np.sort(np.concatenate([kept, more]), order=["first_hi", "first_lo"])
    with site.firewall(kill_connections=False) as firewall:
        first = firewall.apply(wanted, 1000.0)
        assert first.rebuilt
        changed = wanted._replace(bulk_deny=replaced)
        done = firewall.apply(changed, 1000.0)
        assert (done.rebuilt, done.added, done.removed) == (False, len(more), 1000)
        assert done.bytes < first.bytes / 40
        assert firewall.check(1000.0)
        assert not firewall.diff(changed, 1000.0)
