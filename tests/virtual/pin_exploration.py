"""Exhaustive exploration of the PIN operations, with the power cut at every write of each.

`PinStore` itself runs, on a memory that is a plain value; an observer that knows nothing of its
table says what each operation must answer and leave. The search ends when no new memory appears.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from ushield.errors import PinIncorrect, PinInvalid, PinLocked
from ushield.pin import PinReference, PinRules
from ushield.virtual.nvram import CutPower, PowerCut, SecretHash, StoredReference
from ushield.virtual.pins import PinStore

USER, PUK = PinReference.USER, PinReference.PUK
RULES = PinRules(max_tries=3, puk_max_tries=2)
MAX = {USER: RULES.max_tries, PUK: RULES.puk_max_tries}
PINS = (b"135790", b"271828")
PUKS = (b"24681357", b"31415926")
WRONG, MALFORMED, WEAK = b"902143", b"13579", b"123456"


class Violation(AssertionError):
    """A path on which a try was free, a secret half-set, or an answer wrong."""


@dataclass(frozen=True)
class Secret:
    """One secret as it stands in the memory."""

    value: bytes
    tries: int


Durable = tuple[Secret, Secret]
"""User's PIN and PUK: all that a power cut leaves."""

START: Durable = (Secret(PINS[0], MAX[USER]), Secret(PUKS[0], MAX[PUK]))


@dataclass(frozen=True)
class Event:
    """One command. ``proof`` is compared with what ``reference`` names; ``new`` is set."""

    kind: str
    reference: PinReference
    proof: bytes = b""
    new: bytes = b""

    def run(self, pins: PinStore) -> None:
        match self.kind:
            case "verify":
                pins.verify(self.reference, self.proof)
            case "change":
                pins.change(self.reference, self.proof, self.new)
            case "unblock":
                pins.unblock(self.proof, self.new)
            case "bank":
                pins.unblock_by_bank(self.new)

    @property
    def malformed(self) -> bool:
        unchanged = self.kind == "change" and self.proof == self.new
        return self.proof == MALFORMED or self.new == WEAK or unchanged


EVENTS = (
    *(Event("verify", USER, proof) for proof in (*PINS, WRONG, MALFORMED)),
    *(Event("verify", PUK, proof) for proof in (*PUKS, WRONG, MALFORMED)),
    *(
        Event("change", USER, proof, new)
        for proof, new in product((*PINS, WRONG, MALFORMED), (*PINS, WEAK))
    ),
    *(
        Event("change", PUK, proof, new)
        for proof, new in product((*PUKS, WRONG, MALFORMED), (*PUKS, WEAK))
    ),
    *(
        Event("unblock", PUK, proof, new)
        for proof, new in product((*PUKS, WRONG, MALFORMED), (*PINS, WEAK))
    ),
    *(Event("bank", USER, new=new) for new in (*PINS, WEAK)),
)


class WatchedHash(SecretHash):
    """A stored secret that reports each comparison to the memory it came from."""

    def __init__(self, memory: ModelMemory, reference: PinReference) -> None:
        super().__init__(b"", b"")
        object.__setattr__(self, "compared", (memory, reference))

    def matches(self, secret: bytes) -> bool:
        memory, reference = getattr(self, "compared")  # noqa: B009
        return bool(memory.compare(reference, secret))


class ModelMemory:
    """An NVRAM as a value, which loses power where ``cut`` says."""

    def __init__(self, durable: Durable, cut: CutPower | None) -> None:
        self.before = dict(zip(PinReference, durable, strict=True))
        self.now = dict(self.before)
        self.cut = cut
        self.writes = 0
        self.comparisons = 0

    @property
    def durable(self) -> Durable:
        return self.now[USER], self.now[PUK]

    def compare(self, reference: PinReference, secret: bytes) -> bool:
        self.comparisons += 1
        if self.comparisons > 1:
            raise Violation("a second comparison in one operation")
        if self.now[reference].tries != self.before[reference].tries - 1:
            raise Violation("a comparison before its try was spent")
        return self.now[reference].value == secret

    def reference(self, reference: PinReference) -> StoredReference:
        return StoredReference(
            WatchedHash(self, reference), self.now[reference].tries, MAX[reference]
        )

    def spend_try(self, reference: PinReference) -> None:
        secret = self.now[reference]
        if not secret.tries:
            raise Violation("a try was spent where none was left")
        self._write({reference: replace(secret, tries=secret.tries - 1)})

    def restore_tries(self, reference: PinReference) -> None:
        self._write({reference: self._full(reference)})

    def replace_secret(self, reference: PinReference, secret: SecretHash) -> None:
        self._write({reference: self._set(reference, secret)})

    def unblock(self, user: SecretHash) -> None:
        self._write({USER: self._set(USER, user), PUK: self._full(PUK)})

    def unblock_by_bank(self, user: SecretHash) -> None:
        self._write({USER: self._set(USER, user)})

    def _full(self, reference: PinReference) -> Secret:
        return Secret(self.now[reference].value, MAX[reference])

    def _set(self, reference: PinReference, secret: SecretHash) -> Secret:
        known = (*PINS, *PUKS, WEAK, MALFORMED)
        value = next(value for value in known if secret.matches(value))
        return Secret(value, MAX[reference])

    def _write(self, change: dict[PinReference, Secret]) -> None:
        self.writes += 1
        if self.writes > 2:
            raise Violation("more writes than any operation needs")
        if self.cut is not None:
            self.cut.before_write(self.writes)
        self.now |= change
        if self.cut is not None:
            self.cut.after_write(self.writes)


CUTS = (None, *(CutPower(number, before) for number in (1, 2) for before in (True, False)))


@dataclass(frozen=True)
class Verdict:
    """What an operation must answer, and what may be in the memory after each of its writes."""

    answer: type[Exception] | None
    path: tuple[Durable, ...]
    told: int | None = None


def judge(durable: Durable, event: Event) -> Verdict:
    """The specification, written without any table."""
    if event.malformed:
        return Verdict(PinInvalid, (durable,))
    user, puk = durable
    if event.kind == "bank":
        return Verdict(None, (durable, (Secret(event.new, MAX[USER]), puk)))
    secret = user if event.reference is USER else puk
    if secret.tries == 0:
        return Verdict(PinLocked, (durable,))
    spent = replace(secret, tries=secret.tries - 1)
    after_spending = (spent, puk) if event.reference is USER else (user, spent)
    if event.proof != secret.value:
        return Verdict(PinIncorrect, (durable, after_spending), spent.tries)
    full_user, full_puk = Secret(user.value, MAX[USER]), Secret(puk.value, MAX[PUK])
    match event.kind, event.reference:
        case "verify", PinReference.USER:
            final = (full_user, puk)
        case "verify", _:
            final = (user, full_puk)
        case "change", PinReference.USER:
            final = (Secret(event.new, MAX[USER]), puk)
        case "change", _:
            final = (user, Secret(event.new, MAX[PUK]))
        case _:
            final = (Secret(event.new, MAX[USER]), full_puk)
    return Verdict(None, (durable, after_spending, final))


def _check(durable: Durable, event: Event, memory: ModelMemory, error: Exception | None) -> None:
    verdict = judge(durable, event)
    if memory.durable not in verdict.path:
        raise Violation(f"{event} in {durable} left {memory.durable}")
    if isinstance(error, PowerCut):
        if memory.comparisons and memory.durable == durable and verdict.answer is not None:
            raise Violation(f"{event} in {durable}: a free try by a power cut")
        return
    if memory.durable != verdict.path[-1]:
        raise Violation(f"{event} in {durable} left {memory.durable}")
    if (None if error is None else type(error)) is not verdict.answer:
        raise Violation(f"{event} in {durable} was answered {error!r}")
    if isinstance(error, PinIncorrect) and error.tries_left != verdict.told:
        raise Violation(f"{event} in {durable} told of {error.tries_left} tries left")


def _outcomes(pins_of: PinStoreOf, durable: Durable) -> Iterator[tuple[Durable, Exception | None]]:
    for event, cut in product(EVENTS, CUTS):
        memory = ModelMemory(durable, cut)
        error: Exception | None = None
        try:
            event.run(pins_of(memory))
        except (PinInvalid, PinIncorrect, PinLocked, PowerCut) as raised:
            error = raised
        except KeyError as missing:
            raise Violation(f"{event} in {durable}: no entry for {missing}") from missing
        if cut is not None and not isinstance(error, PowerCut):
            continue
        _check(durable, event, memory, error)
        yield memory.durable, error


class PinStoreOf:
    """Makes the `PinStore` under exploration, from this project's parts or from mutated ones."""

    def __init__(self, rules: PinRules = RULES, **parts: object) -> None:
        self.rules = rules
        self.parts = parts

    def __call__(self, memory: ModelMemory) -> PinStore:
        return PinStore(memory, self.rules, **self.parts)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Exploration:
    """What a complete search found."""

    memories: frozenset[Durable]
    answers: frozenset[type[Exception] | None]


def explore(pins_of: PinStoreOf | None = None) -> Exploration:
    """Every event, with every cut, in every memory that can be reached from `START`."""
    pins_of = pins_of or PinStoreOf()
    seen = {START}
    frontier = [START]
    answers: set[type[Exception] | None] = set()
    while frontier:
        for durable, error in _outcomes(pins_of, frontier.pop()):
            answers.add(None if error is None else type(error))
            if durable not in seen:
                seen.add(durable)
                frontier.append(durable)
    return Exploration(frozenset(seen), frozenset(answers))
