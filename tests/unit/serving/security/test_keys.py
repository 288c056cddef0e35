import stat
from pathlib import Path

import pytest

from pipeline.serving.security import keyring
from pipeline.serving.security.errors import AccessError
from pipeline.serving.security.keyring import KeyRing
from pipeline.serving.security.keys import (
    KeyFileError,
    create_key,
    read_keys,
    revoke_key,
    split_token,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private" / "keys.json"


def test_a_made_key_opens_what_its_scopes_say_and_nothing_else(path: Path) -> None:
    token = create_key(path, "shop", ("recommend", "events"))
    ring = KeyRing(path)
    assert ring.verify(token, "recommend").name == "shop"
    assert ring.verify(token, "events").name == "shop"
    with pytest.raises(AccessError, match="scope 'admin'") as error:
        ring.verify(token, "admin")
    assert error.value.status == 403


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "eg_shop",
        "eg_shop_",
        "eg_shop_wrong",
        "eg_other_secret",
        "EG_SHOP_X",
        "é_é_é",
    ],
)
def test_what_is_not_a_key_opens_nothing(path: Path, token: str) -> None:
    create_key(path, "shop", ("recommend",))
    with pytest.raises(AccessError) as error:
        KeyRing(path).verify(token, "recommend")
    assert error.value.status == 401
    assert "valid" in error.value.received


def test_the_secret_of_one_name_does_not_open_another(path: Path) -> None:
    secret = split_token(create_key(path, "shop", ("recommend",)))[1]  # type: ignore[index]
    create_key(path, "till", ("admin",))
    with pytest.raises(AccessError):
        KeyRing(path).verify(f"eg_till_{secret}", "admin")


def test_the_file_holds_no_secret_and_only_its_owner_reads_it(path: Path) -> None:
    token = create_key(path, "shop", ("recommend",))
    secret = split_token(token)[1]  # type: ignore[index]
    assert len(secret) >= 43  # 256 bits in base64
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_two_keys_differ_and_a_revoked_one_is_gone(path: Path) -> None:
    create_key(path, "a", ("recommend",))
    create_key(path, "b", ("recommend",))
    revoke_key(path, "a")
    keys = read_keys(path)
    assert keys is not None
    assert list(keys) == ["b"]
    revoke_key(path, "b")
    assert read_keys(path) == {}
    assert KeyRing(path).is_enabled  # an empty file allows nobody, not everybody


@pytest.mark.parametrize("name", ["", "Shop", "a_b", "-a", "a" * 33, "ä", "a b", "a\n"])
def test_a_name_that_could_be_confused_is_refused(path: Path, name: str) -> None:
    with pytest.raises(KeyFileError, match="lowercase letters"):
        create_key(path, name, ("recommend",))
    assert not path.exists()


def test_mistakes_are_reported(path: Path) -> None:
    create_key(path, "shop", ("recommend",))
    with pytest.raises(KeyFileError, match="the name of a key"):
        create_key(path, "shop", ("events",))
    with pytest.raises(KeyFileError, match="scopes"):
        create_key(path, "other", ("everything",))  # type: ignore[arg-type]
    with pytest.raises(KeyFileError, match="scopes"):
        create_key(path, "other", ())
    with pytest.raises(KeyFileError, match="the keys are: shop"):
        revoke_key(path, "till")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"keys": [{"name": "a"}]}', '{"keys": [], "x": 1}']
)
def test_a_damaged_file_is_refused(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="Expected a key file"):
        KeyRing(path)


def test_a_file_that_others_may_change_is_refused(path: Path) -> None:
    create_key(path, "shop", ("recommend",))
    path.chmod(0o666)
    with pytest.raises(KeyFileError, match="mode 666"):
        KeyRing(path)


def test_a_running_service_follows_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "POLL_SECONDS", 0.0)
    ring = KeyRing(path)
    assert not ring.is_enabled
    token = create_key(path, "shop", ("recommend",))
    assert ring.is_enabled
    assert ring.verify(token, "recommend").name == "shop"
    revoke_key(path, "shop")
    assert ring.is_enabled
    with pytest.raises(AccessError):
        ring.verify(token, "recommend")


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_text("{")])
def test_keys_stay_on_when_their_file_is_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch, damage, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keyring, "POLL_SECONDS", 0.0)
    token = create_key(path, "shop", ("recommend",))
    ring = KeyRing(path)
    damage(path)
    assert ring.is_enabled
    assert ring.verify(token, "recommend").name == "shop"
    assert "stay valid" in caplog.text
    with pytest.raises(KeyFileError):
        ring.reload()
