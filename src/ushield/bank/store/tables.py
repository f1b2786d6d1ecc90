"""The tables. Instants are microseconds since 1970 in UTC, digests are SHA-256.

What tells about a person stands in columns that may be emptied: `ushield.bank.audit.erasure`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "attestation",
    "audit_entry",
    "audit_head",
    "ca_certificate",
    "ca_crl",
    "ca_transaction",
    "certificate",
    "challenge",
    "customer",
    "endorsement",
    "enrolment",
    "instance",
    "metadata",
    "proposal",
    "revocation",
    "spending",
    "token",
    "unblock_request",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts rows in a column of this very type only.
_ROW_NUMBER = BigInteger().with_variant(Integer, "sqlite")

instance = Table(
    "instance",
    metadata,
    Column("number", Integer, CheckConstraint("number = 1", name="single"), primary_key=True),
    Column("id", String(32), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

customer = Table(
    "customer",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", Text),
    # Which terms of the bank's policy hold for it.
    Column("profile", String(64)),
    Column("created_at", BigInteger, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("serial", String(64), primary_key=True),
    Column("customer_id", ForeignKey(customer.c.id), nullable=False, index=True),
    Column(
        "state",
        String(16),
        CheckConstraint("state IN ('active', 'lost')", name="state"),
        nullable=False,
    ),
    Column("counter", BigInteger, nullable=False),
    # Counts changes of the token's standing and of its certificates', but not signatures.
    Column("revision", Integer, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("alarms", Integer, nullable=False),
    Column("alarmed_at", BigInteger),
    # When the bank last heard of a new PIN.
    Column("pin_changed_at", BigInteger),
    # Who has the token, where a customer is several people, and whether to check their payments.
    Column("person", String(64)),
    Column("checks", Integer, nullable=False, server_default="0"),
)

certificate = Table(
    "certificate",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("der", LargeBinary, nullable=False),
    Column("serial_number", String(64), nullable=False),
    Column("token_serial", ForeignKey(token.c.serial), nullable=False, index=True),
    Column(
        "state",
        String(16),
        CheckConstraint("state IN ('active', 'suspended', 'revoked')", name="state"),
        nullable=False,
    ),
    Column("changed_at", BigInteger, nullable=False),
    Column("enrolled_at", BigInteger, nullable=False),
    # Unknown once the customer was erased.
    Column("not_after", BigInteger, index=True),
)

challenge = Table(
    "challenge",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("customer_id", ForeignKey(customer.c.id), nullable=False),
    Column("order_key", String(200)),
    Column("draft_digest", LargeBinary(32), nullable=False),
    Column("message", LargeBinary),
    # Set once a maker has signed: no single signature uses it up any more.
    Column("proposed", Integer, nullable=False, server_default="0"),
    Column(
        "state",
        String(16),
        CheckConstraint("state IN ('issued', 'consumed', 'expired', 'void')", name="state"),
        nullable=False,
    ),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("decided_at", BigInteger),
    Column("signature", LargeBinary),
    Column("certificate_sha256", LargeBinary(32)),
    Column("counter", BigInteger),
)
Index(
    "uq_challenge_order",
    challenge.c.customer_id,
    challenge.c.order_key,
    unique=True,
    sqlite_where=challenge.c.state.in_(("issued", "consumed")),
    postgresql_where=challenge.c.state.in_(("issued", "consumed")),
)

# A day of the bank's calendar, counted as by `date.toordinal`; amounts in minor units.
spending = Table(
    "spending",
    metadata,
    Column("customer_id", ForeignKey(customer.c.id), primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("blind", Integer, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("payments", Integer, nullable=False),
)

proposal = Table(
    "proposal",
    metadata,
    Column("challenge_id", ForeignKey(challenge.c.id), primary_key=True),
    Column("needed", Integer, nullable=False),
    # A list in JSON of the people who may check it.
    Column("entitled", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column(
        "stage",
        String(16),
        CheckConstraint(
            "stage IN ('open', 'complete', 'withdrawn', 'rejected', 'expired')", name="stage"
        ),
        nullable=False,
    ),
    Column("ended_by", String(64)),
    Column("version", Integer, nullable=False),
)
Index(
    "ix_proposal_open",
    proposal.c.expires_at,
    sqlite_where=proposal.c.stage == "open",
    postgresql_where=proposal.c.stage == "open",
)

# The maker's signature in place 0, then the checkers' in the order they came.
endorsement = Table(
    "endorsement",
    metadata,
    Column("challenge_id", ForeignKey(proposal.c.challenge_id), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("person", String(64), nullable=False),
    Column("token", String(64), nullable=False),
    Column("key", LargeBinary(32), nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("counter", BigInteger),
    Column("last_counter", BigInteger),
    UniqueConstraint("challenge_id", "person", name="uq_endorsement_person"),
    UniqueConstraint("challenge_id", "token", name="uq_endorsement_token"),
    UniqueConstraint("challenge_id", "key", name="uq_endorsement_key"),
)

audit_entry = Table(
    "audit_entry",
    metadata,
    Column("id", _ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("event", String(32), nullable=False),
    Column("reason", String(32)),
    Column("challenge_id", String(64)),
    Column("digest", LargeBinary(32), nullable=False),
    Column("salt", LargeBinary(16)),
    Column("body", Text),
    Column("customer_id", String(64)),
    Column("sequence", BigInteger),
    sqlite_autoincrement=True,
)
Index(
    "ix_audit_entry_pending",
    audit_entry.c.id,
    sqlite_where=audit_entry.c.sequence.is_(None),
    postgresql_where=audit_entry.c.sequence.is_(None),
)
Index(
    "uq_audit_entry_sequence",
    audit_entry.c.sequence,
    unique=True,
    sqlite_where=audit_entry.c.sequence.is_not(None),
    postgresql_where=audit_entry.c.sequence.is_not(None),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("instance", String(32), nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

# What the embedded CA issued. ``authority`` is its name and key (SHA-256, hexadecimal).
ca_certificate = Table(
    "ca_certificate",
    metadata,
    Column("authority", String(64), primary_key=True),
    Column("serial_number", String(40), primary_key=True),
    Column("transaction_id", String(32), nullable=False, unique=True),
    Column("asked", LargeBinary(32), nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    # Empty once the customer was erased.
    Column("der", LargeBinary, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("reason", String(32)),
)
Index(
    "ix_ca_certificate_revoked",
    ca_certificate.c.authority,
    ca_certificate.c.not_after,
    sqlite_where=ca_certificate.c.revoked_at.is_not(None),
    postgresql_where=ca_certificate.c.revoked_at.is_not(None),
)

# The last CRL of the embedded CA.
ca_crl = Table(
    "ca_crl",
    metadata,
    Column("authority", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("this_update", BigInteger, nullable=False),
)

# How far an order to a CA elsewhere has come; ``nonce`` and
# ``cert_req_id`` are what its next message answers.
ca_transaction = Table(
    "ca_transaction",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("asked", LargeBinary(32), nullable=False),
    Column(
        "state",
        String(16),
        CheckConstraint("state IN ('sent', 'waiting', 'received', 'done')", name="state"),
        nullable=False,
    ),
    Column("nonce", LargeBinary),
    Column("cert_req_id", Integer),
    Column("certificate", LargeBinary),
    Column("started_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)

# How far a certificate for a customer's token has come: a registration with a code, or a renewal.
enrolment = Table(
    "enrolment",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("customer_id", ForeignKey(customer.c.id), nullable=False, index=True),
    Column(
        "state",
        String(16),
        CheckConstraint(
            "state IN ('registered', 'requested', 'issued', 'confirmed', 'refused', 'void')",
            name="state",
        ),
        nullable=False,
    ),
    # Of the registration code: where to look, and what the rest of it must come to.
    Column("locator", String(8), unique=True),
    Column("code_salt", LargeBinary(16)),
    Column("code_digest", LargeBinary(32)),
    Column("tries_left", Integer, nullable=False),
    # The token it must be, then the token it is.
    Column("token_serial", String(64)),
    # The token that this one takes the place of.
    Column("replaces", ForeignKey(token.c.serial)),
    # Of a renewal: the certificate it follows, and the challenge by which its key authorises that.
    Column("renews", ForeignKey(certificate.c.sha256)),
    Column("challenge_id", ForeignKey(challenge.c.id)),
    Column("request", LargeBinary),
    Column("key_digest", LargeBinary(32)),
    Column("attestation", LargeBinary),
    Column("device", LargeBinary),
    # What the CA is asked to certify: a name of RFC 4514, for so many seconds.
    Column("subject", Text),
    Column("validity", BigInteger),
    # The order at the CA.
    Column("transaction_id", String(32)),
    Column("certificate_sha256", ForeignKey(certificate.c.sha256), index=True),
    Column("chain", Text),
    Column("registered_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
Index(
    "ix_enrolment_open",
    enrolment.c.expires_at,
    sqlite_where=enrolment.c.state.in_(("registered", "requested")),
    postgresql_where=enrolment.c.state.in_(("registered", "requested")),
)

attestation = Table(
    "attestation",
    metadata,
    Column("certificate_sha256", ForeignKey(certificate.c.sha256), primary_key=True),
    Column("certificate", LargeBinary, nullable=False),
    Column("device", LargeBinary, nullable=False),
)

# What the bank was asked to sign for a locked token.
unblock_request = Table(
    "unblock_request",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("token_serial", ForeignKey(token.c.serial), nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("challenge", LargeBinary, nullable=False),
    Column(
        "state",
        String(16),
        CheckConstraint(
            "state IN ('waiting', 'approved', 'superseded', 'denied', 'void')", name="state"
        ),
        nullable=False,
    ),
    Column("requested_by", String(64), nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("decided_by", String(64)),
    Column("decided_at", BigInteger),
    Column("signature", LargeBinary),
)
Index(None, unblock_request.c.token_serial, unblock_request.c.counter)
Index(
    "uq_unblock_request_waiting",
    unblock_request.c.token_serial,
    unique=True,
    sqlite_where=unblock_request.c.state == "waiting",
    postgresql_where=unblock_request.c.state == "waiting",
)
Index(
    "uq_unblock_request_answered",
    unblock_request.c.token_serial,
    unblock_request.c.counter,
    unique=True,
    sqlite_where=unblock_request.c.state == "approved",
    postgresql_where=unblock_request.c.state == "approved",
)

# What the CA has to be told, and whether it was.
revocation = Table(
    "revocation",
    metadata,
    Column("certificate_sha256", ForeignKey(certificate.c.sha256), primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("transaction_id", String(32), nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", String(64)),
    Column("done_at", BigInteger),
)
Index(
    "ix_revocation_pending",
    revocation.c.asked_at,
    sqlite_where=revocation.c.done_at.is_(None),
    postgresql_where=revocation.c.done_at.is_(None),
)
