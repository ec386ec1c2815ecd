"""Profiles in the settings file: what they may say, what they may not, and what a reload takes from the file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.plan import LobbyPlan, decode_plan, encode_plan
from server.profiles import Diversity, Profile, SourceSetting
from server.settings import Settings, SettingsError, load_settings, render_settings, reread_profiles

FEED = """
[profiles.feed]
sources = [
  { name = "led", quota = 300, weight = 2 },
  { name = "pdn", triggers = 10 },
  { name = "item_interaction", last_n = 3 },
]
fusion = "weighted"
exclude_history = true
[profiles.feed.diversity]
max_per_category = 5
mmr = 0.7
"""


def settings_of(name: str) -> st.SearchStrategy[SourceSetting]:
    """Settings of one source, with those that only it has."""
    return st.builds(
        SourceSetting,
        name=st.just(name),
        quota=st.integers(0, 100_000),
        weight=st.floats(1e-6, 1e6),
        triggers=st.integers(0, 10_000) if name == "pdn" else st.just(0),
        last_n=st.integers(0, 1000) if name == "item_interaction" else st.just(0),
    )


names = st.sampled_from(["led", "two_tower", "pdn", "item_interaction", "similar", "popular"])
settings = names.flatmap(settings_of)
profiles = st.builds(
    Profile,
    name=st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True),
    sources=st.lists(settings, min_size=1, max_size=6, unique_by=lambda one: one.name).map(tuple),
    fusion=st.sampled_from(["reciprocal_rank", "weighted", "quota", "single"]),
    exclude_history=st.booleans(),
    diversity=st.builds(
        Diversity,
        max_per_category=st.integers(0, 100),
        max_per_merchant=st.integers(0, 100),
        mmr=st.floats(0, 1),
        mmr_pool=st.floats(1, 100),
    ),
)


def _load(folder: Path, text: str) -> Settings:
    path = folder / "shortlist.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, {}, {})


def test_a_profile_is_read_as_it_stands(tmp_path: Path) -> None:
    """Sources keep their order; what is not said is the default; a whole number will do for a weight."""
    assert _load(tmp_path, FEED).profiles == {
        "feed": Profile(
            "feed",
            (
                SourceSetting("led", quota=300, weight=2.0),
                SourceSetting("pdn", triggers=10),
                SourceSetting("item_interaction", last_n=3),
            ),
            "weighted",
            exclude_history=True,
            diversity=Diversity(max_per_category=5, mmr=0.7),
        )
    }
    assert load_settings(None, {}, {}).profiles == {}


@given(st.lists(profiles, max_size=4, unique_by=lambda one: one.name))
def test_what_is_printed_gives_the_same_profiles(tmp_path_factory: pytest.TempPathFactory, made: list[Profile]) -> None:
    """Settings and profiles survive being printed and read, and being told to a child process."""
    before = Settings(profiles={profile.name: profile for profile in made}, fallback_country="FR")
    after = _load(tmp_path_factory.mktemp("profiles"), render_settings(before))
    assert after == before
    assert decode_plan(encode_plan(LobbyPlan(after, 1, "")), LobbyPlan).settings == before


def test_each_printed_profile_has_its_origin(tmp_path: Path) -> None:
    """The line of a profile's table names the file."""
    assert f"[profiles.feed]  # {tmp_path / 'shortlist.toml'}" in render_settings(_load(tmp_path, FEED))


LED = 'sources = [{ name = "led" }]'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[profiles.x]\n", 'profiles.x.sources: expected a list such as [{ name = "led" }], found nothing'),
        ("[profiles.x]\nsources = []\n", "profiles.x.sources: expected a list such as"),
        ('[profiles.x]\nsources = "led"\n', 'found "led"'),
        ('[profiles.x]\nsources = ["led"]\n', 'profiles.x.sources[0]: expected a table, found "led"'),
        ("[profiles.x]\nsources = [{ quota = 3 }]\n", "profiles.x.sources[0].name: expected one of led, two_tower"),
        ('[profiles.x]\nsources = [{ name = "leed" }]\n', "profiles.x.sources[0].name: expected one of led, two_tower"),
        (f'[profiles.x]\n{LED[:-1]}, {{ name = "led" }}]\n', "profiles.x.sources[1].name: expected each source once"),
        (f"[profiles.x]\n{LED}\nfusoin = 'single'\n", "unknown key profiles.x.fusoin; did you mean fusion?"),
        (f"[profiles.x]\n{LED}\nfusion = 'rrf'\n", "profiles.x.fusion: expected one of reciprocal_rank, weighted"),
        (f"[profiles.x]\n{LED}\nexclude_history = 1\n", "exclude_history: expected true or false, found 1"),
        ('[profiles.x]\nsources = [{ name = "led", qouta = 3 }]\n', "sources[0].qouta; did you mean quota?"),
        (
            '[profiles.x]\nsources = [{ name = "led", quota = -1 }]\n',
            "sources[0].quota: expected 0 to 100000, found -1",
        ),
        ('[profiles.x]\nsources = [{ name = "led", quota = 1.5 }]\n', "expected a whole number, found 1.5"),
        ('[profiles.x]\nsources = [{ name = "led", weight = 0 }]\n', "sources[0].weight: expected 1e-06 to"),
        ('[profiles.x]\nsources = [{ name = "led", weight = nan }]\n', "found nan"),
        ('[profiles.x]\nsources = [{ name = "led", weight = true }]\n', "weight: expected a number, found True"),
        (
            '[profiles.x]\nsources = [{ name = "led", triggers = 5 }]\n',
            "sources[0].triggers: expected none, it is of pdn",
        ),
        (
            '[profiles.x]\nsources = [{ name = "pdn", last_n = 5 }]\n',
            "last_n: expected none, it is of item_interaction",
        ),
        (f"[profiles.x]\n{LED}\n[profiles.x.diversity]\nmmr = 1.1\n", "diversity.mmr: expected 0 to 1, found 1.1"),
        (f"[profiles.x]\n{LED}\ndiversity = 3\n", "profiles.x.diversity: expected a table, found 3"),
        (f"[profiles.x]\n{LED}\n[profiles.x.diversity]\nmrm = 1\n", "diversity.mrm; did you mean mmr?"),
        (f"[profiles.'a b']\n{LED}\n", "profiles.a b: expected a name of 1 to 64 letters"),
        ("profiles = 3\n", "profiles: expected a table, found 3"),
        ("[profiles]\nx = 3\n", "profiles.x: expected a table, found 3"),
        ("".join(f"[profiles.p{number}]\n{LED}\n" for number in range(65)), "expected at most 64, found 65"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_profile_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """The error names the file, the key, what was expected and what was found."""
    with pytest.raises(SettingsError) as caught:
        _load(tmp_path, text)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_reload_takes_profiles_and_the_fallback_country_only(tmp_path: Path) -> None:
    """Everything else needs a restart; what another place has set stays set."""
    first = _load(tmp_path, FEED + '[limits]\nmax_k = 5\n[serving]\nfallback_country = "FR"\n')
    path = tmp_path / "shortlist.toml"
    path.write_text(f'[profiles.other]\n{LED}\n[limits]\nmax_k = 7\n[serving]\nfallback_country = "DE"\n')
    again = reread_profiles(first)
    assert (list(again.profiles), again.fallback_country, again.max_k) == (["other"], "DE", 5)
    fixed = load_settings(path, {"SHORTLIST_FALLBACK_COUNTRY": "US"}, {})
    assert reread_profiles(fixed).fallback_country == "US"
    path.write_text("")
    assert (reread_profiles(again).profiles, reread_profiles(again).fallback_country) == ({}, "")
    assert reread_profiles(Settings(max_k=3)) == Settings(max_k=3)


@pytest.mark.parametrize("text", ["[profiles.feed]\n", "[limits]\nmax_k = 0\n", "["])
def test_a_reload_refuses_a_file_with_any_fault(tmp_path: Path, text: str) -> None:
    """A file that could not be started with is not reloaded from either."""
    before = _load(tmp_path, FEED)
    (tmp_path / "shortlist.toml").write_text(text)
    with pytest.raises(SettingsError):
        reread_profiles(before)
