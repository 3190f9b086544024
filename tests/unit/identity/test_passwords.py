"""Passwords: the rule, the hash, equal effort for an unknown user."""

import pytest

from ksnap.errors import InvalidInput
from ksnap.identity.passwords import PasswordRule, Passwords, one_time_password


@pytest.mark.parametrize("password", ["securepassword", "12345678", "        ", "päßwörter", "x" * 1024])
def test_length_alone_is_the_default_rule(password: str) -> None:
    PasswordRule().check(password, "ann")


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025, "Annabelle", "annabelle"])
def test_what_is_refused_is_not_repeated(password: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        PasswordRule().check(password, "annabelle")
    assert not password or password not in caught.value.explanation


@pytest.mark.parametrize(
    "password", ["securepassword", "SECUREPASSWORD1!", "securepassword1!", "SecurePassword!", "Secure1234"]
)
def test_the_documents_rule_can_be_switched_on(password: str) -> None:
    rule = PasswordRule(needs_classes=True)
    rule.check("Secure-1234", "ann")
    with pytest.raises(InvalidInput):
        rule.check(password, "ann")


async def test_a_hash_verifies_its_password_alone() -> None:
    passwords = Passwords()
    hashed = await passwords.hash("right one")
    assert hashed.startswith("$argon2id$")
    assert await passwords.verify(hashed, "right one")
    assert not await passwords.verify(hashed, "wrong one")
    assert not await passwords.verify(None, "right one")
    assert not await passwords.verify("no hash", "right one")
    assert not await passwords.verify(hashed, "right one" * 1000)


def test_one_time_passwords_differ_and_pass_the_rule() -> None:
    made = {one_time_password() for _ in range(100)}
    assert len(made) == 100
    for each in made:
        PasswordRule().check(each, "admin")
