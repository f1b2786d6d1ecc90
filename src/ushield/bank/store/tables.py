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
)

__all__ = [
    "audit_entry",
    "audit_head",
    "ca_certificate",
    "ca_crl",
    "ca_transaction",
    "certificate",
    "challenge",
    "customer",
    "instance",
    "metadata",
    "token",
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
)

challenge = Table(
    "challenge",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("customer_id", ForeignKey(customer.c.id), nullable=False),
    Column("order_key", String(200)),
    Column("draft_digest", LargeBinary(32), nullable=False),
    Column("message", LargeBinary),
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

# How far an order to a CA elsewhere has come; ``nonce`` is what its next message answers.
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
    Column("certificate", LargeBinary),
    Column("started_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
