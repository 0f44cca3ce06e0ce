"""Updates to those concerned: templates checked at load, markings held, addresses hidden."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ipwatchd.incidents.policy import shipped
from ipwatchd.incidents.updates import (
    MARKINGS,
    Audience,
    Template,
    check_templates,
    draft,
    parse_audiences,
    parse_template,
    words,
)
from ipwatchd.records.incident import STATES, Obligation, Receipt
from tests.incidents.review.test_course import NOW, incident

UTC = ZoneInfo("UTC")
FILES = sorted((shipped() / "updates").glob("*.md"))
TEMPLATES = tuple(parse_template(path.read_bytes(), path.name) for path in FILES)
AUDIENCES = parse_audiences((shipped() / "updates/audiences.toml").read_bytes(), "audiences.toml")


def masked(address: str) -> str:
    """Return a stand-in for an address."""
    return f"addr-{len(address)}"


def filled(shown: object = str, **changes: object) -> dict[str, object]:
    """Return the words of an incident."""
    return words(incident(**changes), UTC, NOW + 60, shown, "soc@example.net")  # type: ignore[arg-type]


def test_the_shipped_templates_hold_together() -> None:
    """Every audience has an English text that it may read; the phone's have Spanish and Tagalog."""
    check_templates(TEMPLATES, AUDIENCES, "config/updates")
    assert {one.audience for one in TEMPLATES} == set(AUDIENCES)
    assert {one.language for one in TEMPLATES if one.audience == "reporter"} == {"en", "es", "tl"}


@given(st.sampled_from(TEMPLATES), st.sampled_from(STATES), st.booleans())
def test_every_template_says_something_of_every_state(
    template: Template, state: str, full: bool
) -> None:
    """Whatever is known or not, there is a subject of one line and a text without holes."""
    facts = {"client": "Acme", "data": ["health"], "subjects": {"min": 10, "max": 200}}
    known = filled(
        state=state, facts=facts if full else {}, resolution="rebuilt" if full else "",
        obligations=(Obligation(id="a", title="a", due=NOW + 9),) if full else (),
    )  # fmt: skip
    made = draft(
        incident(state=state), TEMPLATES, AUDIENCES, template.audience, template.language, known
    )
    assert made.language == template.language
    assert made.subject
    assert "\n" not in made.subject
    assert "\n\n\n" not in made.text
    assert "{{" not in made.text
    assert "None" not in made.text


def test_addresses_are_seen_as_the_audience_may() -> None:
    """Under pseudonyms no text of the case lets the address through, whoever wrote it."""
    receipt = Receipt(
        id="r", kind="deny", subject="203.0.113.7", time=NOW, by="ana",
        text="denied 203.0.113.7 for 1h",
    )  # fmt: skip
    case = {
        "title": "203.0.113.7 probed 2001:db8::5.", "receipts": (receipt,), "state": "CLOSED",
        "resolution": "203.0.113.7: a test, at 10:30",
    }  # fmt: skip
    hidden = draft(incident(**case), TEMPLATES, AUDIENCES, "client", "en", filled(masked, **case))
    for part in (hidden.subject, hidden.text):
        assert "203.0.113.7" not in part
        assert "2001:db8::5" not in part
    assert "addr-11 probed addr-11." in hidden.text
    assert "at 10:30" in hidden.text
    plain = draft(incident(**case), TEMPLATES, AUDIENCES, "regulator", "en", filled(**case))
    assert "203.0.113.7" in plain.text


@given(st.sampled_from(MARKINGS), st.sampled_from(sorted(AUDIENCES)))
def test_the_marking_decides_who_may_get_it(tlp: str, audience: str) -> None:
    """A case marked more strictly than an audience may read is not told to it, ever."""
    may = MARKINGS.index(AUDIENCES[audience].may)
    if MARKINGS.index(tlp) > may:
        with pytest.raises(ValueError, match="may read up to"):
            draft(incident(), TEMPLATES, AUDIENCES, audience, "en", filled(), tlp=tlp)
        return
    made = draft(incident(), TEMPLATES, AUDIENCES, audience, "en", filled(), tlp=tlp)
    assert MARKINGS.index(made.tlp) >= MARKINGS.index(tlp)


def test_a_language_we_do_not_have_is_english() -> None:
    """The draft says which language it is in."""
    made = draft(incident(), TEMPLATES, AUDIENCES, "reporter", "hi", filled())
    assert made.language == "en"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{{ passwort }}", "'passwort' is no word of updates"),
        ("{% if state %}", "line 1 of the text"),
        ("{{ id.__class__.__mro__ }}", "can't be filled in"),
    ],
)
def test_a_wrong_template_is_refused_when_it_is_loaded(text: str, complaint: str) -> None:
    """A word that is none, a branch that does not end, a reach into Python: named with the file."""
    front = 'audience = "client"\nlanguage = "en"\nversion = "1"\nsubject = "x"\ntlp = "TLP:GREEN"'
    data = f"+++\n{front}\n+++\n{text}\n".encode()
    with pytest.raises(ValueError, match=f"mine.md: .*{complaint}"):
        parse_template(data, "mine.md")


def test_front_matter_and_audiences_that_are_wrong() -> None:
    """No front matter, an unknown key, an audience that is none or may not read its own."""
    for data in (b"hello", b"+++\nx = 1\n+++\n", b"\xff"):
        with pytest.raises(ValueError, match=r"mine\.md"):
            parse_template(data, "mine.md")
    with pytest.raises(ValueError, match="audiences"):
        parse_audiences(b"[audience.x]\ntitle = 'x'\nmay = 'TLP:WHITE'", "audiences")
    stranger = replace(TEMPLATES[0], audience="press")
    with pytest.raises(ValueError, match="'press' is no audience"):
        check_templates([stranger], AUDIENCES, "mine")
    strict = {"reporter": Audience(title="r", may="TLP:CLEAR")}
    theirs = [one for one in TEMPLATES if one.audience == "reporter"]
    with pytest.raises(ValueError, match="lower its tlp"):
        check_templates(theirs, strict, "mine")
    with pytest.raises(ValueError, match="no English text"):
        check_templates([one for one in theirs if one.language == "es"], AUDIENCES, "mine")


def test_states_and_data_are_said_in_the_template_s_language() -> None:
    """A Spanish client reads Spanish words; what the template has none for stands as it is."""
    from ipwatchd.incidents.impact import parse_assessment

    facts = {"data": ["contact", "identity"], "subjects": {"min": 240, "max": 240}}
    case = incident(state="CONFIRMED", facts=facts)
    known = filled(state="CONFIRMED", facts=facts)
    text = draft(case, TEMPLATES, AUDIENCES, "client", "es", known).text
    assert "datos de contacto, documentos de identidad, 240 personas" in text
    assert "está confirmado" in text
    client = [one for one in TEMPLATES if one.audience == "client"]
    path = shipped() / "taxonomy/impact.toml"
    asked = parse_assessment(path.read_bytes(), path.name).questions
    kinds = {one.id for question in asked if question.id == "data" for one in question.choices}
    for one in client:
        assert one.says.keys() == {*STATES, *kinds} - {"none"}
    bare = tuple(replace(one, says={}) for one in client)
    assert "contact, identity" in draft(case, bare, AUDIENCES, "client", "es", known).text
