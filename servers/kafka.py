"""A real Kafka broker (KRaft, one node or a cluster) on free ports of 127.0.0.1. Never touches a system's own.

    with kafka.start(settings={"message.max.bytes": "100000"}) as broker:
        Producer({"bootstrap.servers": broker.address})
    with kafka.start_cluster(3) as cluster:
        cluster.nodes[0].kill()

The broker comes from Maven and needs a JDK 17. On its plain listener everyone is the superuser; `secure` adds listeners
with TLS and SASL, and then only whom an ACL allows may do anything there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import ElectionType, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    NewTopic,
    PartitionMetadata,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from servers import artifact, maven, token
from servers.certificate import Authority
from servers.process import dying_with_us, free_port
from tailrace.demo import broker

_SESSION = {"broker.session.timeout.ms": "3000"}
"""After a kill a broker waits for its own last session to end, and others for it."""
_STEADY = {"broker.session.timeout.ms": "120000"}
"""Of one that is alone and was never ended: its controller would fence it where only the machine stood still."""
_SETTINGS = {
    **broker.SETTINGS,
    **_SESSION,
    "broker.heartbeat.interval.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}
_LOGIN = "org.apache.kafka.common.security"
_MECHANISMS = {
    "PLAIN": f'{_LOGIN}.plain.PlainLoginModule required user_guest="right" user_stranger="right";',
    "SCRAM-SHA-256": f"{_LOGIN}.scram.ScramLoginModule required;",
    "SCRAM-SHA-512": f"{_LOGIN}.scram.ScramLoginModule required;",
    "OAUTHBEARER": f'{_LOGIN}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";',
}
_VALIDATOR = f"{_LOGIN}.oauthbearer.OAuthBearerValidatorCallbackHandler"
_ALLOWED = "org.apache.kafka.sasl.oauthbearer.allowed.urls"
USERS, PASSWORD = ("guest", "stranger"), "right"
"""Who may log in over SASL, with PLAIN and SCRAM; nobody may do anything until an ACL says so."""
AUDIENCE = "kafka"
"""For whom a token must be where it must be signed (`aud`)."""
_FAST = ("-XX:TieredStopAtLevel=1",)
VERSION = next(
    line.rpartition(":")[2]
    for line in (Path(__file__).parent / "jars" / "kafka.txt").read_text().splitlines()
    if line.startswith("org.apache.kafka:kafka_")
)
"""Of the broker."""
_REPLICAS = tuple(f"{of}.replication.factor" for of in ("default", "offsets.topic", "transaction.state.log"))
_IN_SYNC = ("min.insync.replicas", "transaction.state.log.min.isr")
_ASK_S = 180.0
_QUOTA = Path(__file__).parent / "java" / "KafkaQuota.java"


@dataclass(frozen=True, slots=True)
class Secure:
    """The listeners of a broker that was started with `secure`: TLS without login, TLS where a certificate says who a
    client is, SASL with and without TLS, where OAUTHBEARER's tokens need no signature, and SASL with TLS and signed
    ones."""

    tls: str
    mutual: str
    sasl: str
    sasl_tls: str
    signed: str
    authority: Path
    """What to trust (`ssl.ca.location`)."""
    signer: Authority
    """Signs what clients show at `mutual`; the user is the certificate's subject."""
    issuer: token.Issuer
    """Signs the tokens that clients show at `signed`; the user is their `sub`."""


class Broker:
    """One Kafka broker with its own data folder. Not safe for use by several threads."""

    def __init__(
        self, root: Path, folder: Path, *, secure: Secure | None = None, java_options: tuple[str, ...], node: int = 1
    ) -> None:
        self.node = node
        self.root = root
        self.folder = folder
        self.port, self._controller = free_port(), free_port()
        self.secure = secure
        self._jvm = broker.Broker(root, folder, java=maven.java(), java_options=java_options, wrap=dying_with_us)

    @property
    def address(self) -> str:
        """`host:port` of the plain listener, for `bootstrap.servers`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The JVM's process id; raises RuntimeError when the broker is stopped."""
        return self._jvm.pid

    def admin(self) -> AdminClient:
        """A superuser's client."""
        return AdminClient({"bootstrap.servers": self.address})

    def create_topic(self, name: str, partitions: int = 1, **config: str) -> str:
        """Create topic `name`, options with underscores for dots; returns its name once the broker knows of it too: the
        controller that makes a topic answers before."""
        options = {key.replace("_", "."): value for key, value in config.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=-1, config=options)
        admin = self.admin()  # futures die with their client
        try:
            admin.create_topics([topic], request_timeout=_ASK_S)[name].result(_ASK_S)
        except KafkaException as error:  # asked twice, since the answer was late: it is there all the same
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        self.wait_topic(name, partitions)
        return name

    def wait_topic(self, name: str, partitions: int) -> None:
        """Until this broker knows of the topic `name`, and who leads its partitions."""
        admin = self.admin()

        def known() -> bool:
            found = admin.list_topics(timeout=_ASK_S).topics.get(name)
            leaders = [] if found is None else [part.leader for part in found.partitions.values()]
            return len(leaders) == partitions and all(leader >= 0 for leader in leaders)

        _wait(known, f"Kafka does not know of the topic {name}")

    def drop_topics(self, prefix: str) -> None:
        """Delete every topic whose name begins with `prefix`."""
        admin = self.admin()
        names = [name for name in admin.list_topics(timeout=_ASK_S).topics if name.startswith(prefix)]
        if names:
            for future in admin.delete_topics(names, request_timeout=_ASK_S).values():
                try:
                    future.result(_ASK_S)
                except KafkaException as error:  # asked twice, since the answer was late: it is gone all the same
                    if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                        raise

    def topic_config(self, name: str) -> dict[str, str]:
        """Every option of topic `name`."""
        admin, resource = self.admin(), ConfigResource(ResourceType.TOPIC, name)
        found = admin.describe_configs([resource])[resource].result(_ASK_S)
        return {option: str(entry.value) for option, entry in found.items()}

    def allow(self, user: str, kind: ResourceType, name: str, *rights: AclOperation, prefixed: bool = False) -> None:
        """Let `user` do this with what is called `name`, or begins so; returns once the broker heeds it, some time
        after the controller has answered."""
        admin, pattern = self.admin(), ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
        for what in _bindings(user, kind, name, rights=rights, pattern=pattern):
            admin.create_acls([binding := AclBinding(*what)])[binding].result(_ASK_S)
            _wait(lambda what=what: _acls(admin, what), f"Kafka does not heed an ACL for {name}")  # type: ignore[misc]

    def forbid(self, user: str, kind: ResourceType, name: str, *rights: AclOperation) -> None:
        """Take back what `allow` gave; returns as that does."""
        admin = self.admin()
        for what in _bindings(user, kind, name, rights=rights, pattern=ResourcePatternType.LITERAL):
            admin.delete_acls([given := AclBindingFilter(*what)])[given].result(_ASK_S)
            _wait(lambda what=what: not _acls(admin, what), f"Kafka heeds an ACL for {name} still")  # type: ignore[misc]

    def throttle(self, client_id: str, bytes_per_s: int) -> None:
        """From now on whoever calls itself so writes and reads no more than this many bytes a second, each."""
        tool = [maven.java(), "-cp", f"{self.root}/*", str(_QUOTA), self.address, client_id, str(bytes_per_s)]
        subprocess.run(tool, check=True, capture_output=True)

    def log(self) -> str:
        """Everything that the broker has logged so far."""
        return self._jvm.log()

    def wait_log(self, words: str, *, timeout_s: float = 60.0) -> None:
        """Until the broker has logged `words`; TimeoutError when it does not in time."""
        _wait(lambda: words in self.log(), f"Kafka has not logged {words!r}", timeout_s=timeout_s)

    def start(self) -> None:
        """Start the broker on its ports and wait until it is ready; `Unavailable` with its last words if it dies."""
        with maven.available():
            self._jvm.start()

    def launch(self) -> None:
        """Begin to start, as one node of several."""
        self._jvm.launch()

    def wait_ready(self) -> None:
        """Until what was launched is ready; `Unavailable` with its last words if it dies."""
        with maven.available():
            self._jvm.wait_ready()

    def stop(self) -> None:
        """Shut down in an orderly way. Idempotent."""
        self._jvm.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash. Idempotent."""
        self._jvm.kill()

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write settings, which win over those from before; a start reads them."""
        self._jvm.configure(settings)

    @property
    def voter(self) -> str:
        """What `controller.quorum.voters` says of it."""
        return f"{self.node}@127.0.0.1:{self._controller}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Brokers that are all controllers too; topics have a replica on each, and a write waits for two of them."""

    nodes: list[Broker]

    @property
    def address(self) -> str:
        """All of them, for `bootstrap.servers`."""
        return ",".join(node.address for node in self.nodes)

    def create_topic(self, name: str, partitions: int = 1) -> str:
        """Create topic `name`; returns its name once each live node knows of it."""
        self.nodes[0].create_topic(name, partitions)
        for node in self.nodes[1:]:
            node.wait_topic(name, partitions)
        return name

    def leads(self, node: Broker, topic: str) -> list[int]:
        """The partitions of `topic` that `node` leads, as a live node tells it."""
        return [number for number, part in self._partitions(topic).items() if part.leader == node.node]

    def elect(self, topic: str) -> None:
        """Have each partition of `topic` led by the node that is to lead it, where that is in sync."""
        parts = [TopicPartition(topic, number) for number in self._partitions(topic)]
        admin = AdminClient({"bootstrap.servers": self.address})  # futures die with their client
        admin.elect_leaders(ElectionType.PREFERRED, parts).result(_ASK_S)

    def is_whole(self) -> bool:
        """Whether each replica of each partition is in sync, those of groups and transactions too: a leader of one that
        has no other in sync is followed by none."""
        found = AdminClient({"bootstrap.servers": self.address}).list_topics(timeout=_ASK_S).topics.values()
        return all(len(part.isrs) == len(self.nodes) for topic in found for part in topic.partitions.values())

    def _partitions(self, topic: str) -> dict[int, PartitionMetadata]:
        admin = AdminClient({"bootstrap.servers": self.address})
        return dict(admin.list_topics(topic, timeout=_ASK_S).topics[topic].partitions)


@contextmanager
def start(
    *, settings: Mapping[str, str] | None = None, secure: bool = False, java_options: tuple[str, ...] = _FAST
) -> Iterator[Broker]:
    """A running broker; it is stopped and its data removed at the end.

    `settings` go into server.properties over the defaults of this module. The default options make the JVM start fast;
    benchmarks pass none. Raises `Unavailable` when this machine cannot run it.
    """
    root = install()
    folder = Path(tempfile.mkdtemp(prefix="tailrace-kafka-"))
    with ExitStack() as undo:
        undo.callback(artifact.remove, folder)
        listeners = None
        if secure:
            issuer = undo.enter_context(token.issuing(folder / "issuer"))
            listeners = _listeners(folder, issuer)
            java_options = (*java_options, f"-D{_ALLOWED}={issuer.keys_url}")
        server = Broker(root, folder, secure=listeners, java_options=java_options)
        undo.callback(server.kill)  # nobody reads its data again: an orderly end would only take longer
        server.configure({**_SETTINGS, **_STEADY, **_addresses(server), **(settings or {})})
        _format(root, folder / "data")
        server.start()
        server.configure(_SESSION)  # when it is started again
        if secure:
            _make_users(server.admin())
        yield server


@contextmanager
def start_cluster(nodes: int = 3, *, settings: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """So many running brokers, at least 3, of one cluster, small ones; see `start`."""
    root = install()
    folder = Path(tempfile.mkdtemp(prefix="tailrace-kafka-"))
    brokers, cluster_id = list[Broker](), broker.new_id()
    for number in range(1, nodes + 1):
        (home := folder / str(number)).mkdir()
        brokers.append(Broker(root, home, java_options=(*_FAST, "-Xmx256m"), node=number))
    replicas = dict.fromkeys(_REPLICAS, str(nodes)) | dict.fromkeys(_IN_SYNC, "2")
    own = {"controller.quorum.voters": ",".join(each.voter for each in brokers)}
    try:
        for each in brokers:
            each.configure({**_SETTINGS, **_addresses(each), **replicas, **own, **(settings or {})})
            _format(root, each.folder / "data", node=each.node, cluster_id=cluster_id)
            each.launch()
        for each in brokers:
            each.wait_ready()
        yield Cluster(brokers)
    finally:
        for each in brokers:
            each.kill()
        artifact.remove(folder)


def install() -> Path:
    """The folder with the broker's JARs, and in `formatted` what `StorageTool` makes of an empty data folder."""
    root = maven.install("kafka")
    with artifact.locked(root.with_suffix(".lock")):
        if not (root / "formatted").exists():
            _format_once(root)
    return root


def _format_once(root: Path) -> None:
    """Format a data folder to copy from: a JVM less at each start."""
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="kafka-format-") as scratch:
        folder, properties = Path(scratch, "formatted"), Path(scratch, "server.properties")
        settings = {**_SETTINGS, **broker.listening(9092, 9093, folder)}
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        with maven.available():
            broker.format_storage(maven.java(), root, properties)
        folder.rename(root / "formatted")


def _format(root: Path, data: Path, *, node: int = 1, cluster_id: str | None = None) -> None:
    """A data folder of a cluster, a new one unless its id is given: a copy, with ids of its own."""
    shutil.copytree(root / "formatted", data)
    own = {"node.id": str(node), "cluster.id": cluster_id or broker.new_id(), "directory.id": broker.new_id()}
    path = data / "meta.properties"
    lines = [line.partition("=") for line in path.read_text().splitlines() if not line.startswith("#")]
    path.write_text("".join(f"{name}={own.get(name, value)}\n" for name, _, value in lines))


def _listeners(folder: Path, issuer: token.Issuer) -> Secure:
    authority = Authority(folder / "authority")
    signed = authority.issue("localhost")
    pem = folder / "listener.pem"
    # Kafka reads PKCS#8 keys and certificates out of one PEM file.
    pem.write_text(signed.key.read_text() + signed.certificate.read_text())
    tls, mutual, sasl, sasl_tls, tokens = (f"127.0.0.1:{free_port()}" for _ in range(5))
    return Secure(tls, mutual, sasl, sasl_tls, tokens, authority.certificate, authority, issuer)


def _addresses(server: Broker) -> dict[str, str]:
    addresses, protocols = {"PLAINTEXT": server.address}, {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
    settings = dict[str, str]()
    if server.secure is not None:
        addresses |= {"TLS": server.secure.tls, "MUTUAL": server.secure.mutual}
        addresses |= {"SASL": server.secure.sasl, "BOTH": server.secure.sasl_tls, "SIGNED": server.secure.signed}
        protocols |= {"TLS": "SSL", "MUTUAL": "SSL", "SASL": "SASL_PLAINTEXT", "BOTH": "SASL_SSL", "SIGNED": "SASL_SSL"}
        settings |= {
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.truststore.type": "PEM",
            "listener.name.mutual.ssl.truststore.location": str(server.secure.authority),
            "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
        }
        for name in ("tls", "mutual", "both", "signed"):
            settings[f"listener.name.{name}.ssl.keystore.type"] = "PEM"
            settings[f"listener.name.{name}.ssl.keystore.location"] = str(server.folder / "listener.pem")
        for name in ("sasl", "both"):
            settings[f"listener.name.{name}.sasl.enabled.mechanisms"] = ",".join(_MECHANISMS)
            for mechanism, login in _MECHANISMS.items():
                settings[f"listener.name.{name}.{mechanism.lower()}.sasl.jaas.config"] = login
        settings |= _signed(server.secure.issuer)
    shown = ",".join(f"{name}://{address}" for name, address in addresses.items())
    return settings | {
        "listeners": f"{shown},CONTROLLER://127.0.0.1:{server._controller}",
        "advertised.listeners": shown,
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "node.id": str(server.node),
        "controller.quorum.voters": server.voter,
        "log.dirs": str(server.folder / "data"),
    }


def _signed(issuer: token.Issuer) -> dict[str, str]:
    """Settings of the listener where a token must be signed."""
    checked = {
        "sasl.enabled.mechanisms": "OAUTHBEARER",
        "oauthbearer.sasl.jaas.config": _MECHANISMS["OAUTHBEARER"],
        "oauthbearer.sasl.server.callback.handler.class": _VALIDATOR,
        "sasl.oauthbearer.jwks.endpoint.url": issuer.keys_url,
        "sasl.oauthbearer.expected.issuer": issuer.name,
        "sasl.oauthbearer.expected.audience": AUDIENCE,
    }
    return {f"listener.name.signed.{name}": value for name, value in checked.items()}


def _wait(condition: Callable[[], object], otherwise: str, *, timeout_s: float = _ASK_S) -> None:
    """Until the condition holds; TimeoutError with the words for what is so otherwise."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} within {timeout_s:g} s")
        time.sleep(0.05)


_Acl = tuple[ResourceType, str, ResourcePatternType, str, str, AclOperation, AclPermissionType]


def _bindings(
    user: str, kind: ResourceType, name: str, *, rights: Sequence[AclOperation], pattern: ResourcePatternType
) -> list[_Acl]:
    return [(kind, name, pattern, f"User:{user}", "*", right, AclPermissionType.ALLOW) for right in rights]


def _acls(admin: AdminClient, what: _Acl) -> list[AclBinding]:
    """Those that the broker knows of, by which it decides."""
    found: list[AclBinding] = admin.describe_acls(AclBindingFilter(*what)).result(_ASK_S)
    return found


def _make_users(admin: AdminClient) -> None:
    mechanisms = ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512
    for mechanism in mechanisms:
        known = ScramCredentialInfo(mechanism, 4096)
        for user in USERS:
            credential = UserScramCredentialUpsertion(user, known, PASSWORD.encode(), os.urandom(16))
            admin.alter_user_scram_credentials([credential])[user].result(_ASK_S)

    def known_to_the_broker() -> bool:
        """The controller knows of them first."""
        described = admin.describe_user_scram_credentials(list(USERS))
        assert isinstance(described, dict), "by user"
        return all(len(each.result(_ASK_S).scram_credential_infos) == len(mechanisms) for each in described.values())

    _wait(known_to_the_broker, "Kafka does not know of the users")
