"""Configuration: files, URLs, overrides, secrets; every kind of mistake named with its place and the way out."""

import re
from pathlib import Path
from typing import cast

import pytest

from tailrace.checkpoint import SQLite
from tailrace.config import Http, load, sink_from_url, source_from_url
from tailrace.config.document import read
from tailrace.dead_letters import File as DeadLetters
from tailrace.error import ConfigError
from tailrace.model import Limits
from tailrace.sink import DuckDB, File, Stdout
from tailrace.source import Postgres
from tailrace.transform import Mask, Select

WHOLE = """
state_dir = "state"

[pipeline.orders.source]
kind = "postgres"
url = "postgresql://cdc:${PGSECRET}@db/shop"
tables = ["public.orders", "public.order_*"]
snapshot = "never"

[[pipeline.orders.transform]]
kind = "mask"
columns = ["public.orders.note"]
method = "hash"
salt = "${file:secrets/salt}"

[[pipeline.orders.transform]]
kind = "select"
ops = "cud"

[pipeline.orders.format]
topic_prefix = "shop"
decimal_handling_mode = "string"

[pipeline.orders.sink]
kind = "stdout"

[pipeline.orders.checkpoint]
kind = "sqlite"
path = "positions.db"

[pipeline.orders.dead_letters]
kind = "file"
path = "/var/dead.jsonl"

[pipeline.orders.limits]
stop_timeout_s = 5
spill_dir = "spill"

[pipeline.copy]
source = "postgresql://db/shop"
sink = "duckdb:shop.duckdb"
"""

SMALL = """
[pipeline.a]
source = "postgresql://db/shop"
sink = "stdout:"
"""


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "secrets").mkdir(exist_ok=True)
    (tmp_path / "secrets" / "salt").write_text("pepper\n")
    path = tmp_path / "t.toml"
    path.write_text(text)
    return path


def test_a_file_becomes_the_same_objects_as_python_code(tmp_path: Path) -> None:
    config = load(written(tmp_path, WHOLE), environ={"PGSECRET": "s3cret"})
    assert list(config.pipelines) == ["orders", "copy"]
    assert config.state_dir == tmp_path / "state"
    orders = config.pipelines["orders"]
    assert orders.source == Postgres(
        url="postgresql://cdc:s3cret@db/shop", tables=["public.orders", "public.order_*"], snapshot="never"
    )
    assert orders.transforms == [
        Mask(columns=("public.orders.note",), method="hash", salt="pepper"), Select(ops="cud"),
    ]  # fmt: skip
    assert isinstance(orders.sink, Stdout)
    assert orders.sink.format["topic_prefix"] == "shop"
    assert orders.checkpoint == SQLite(tmp_path / "positions.db")
    assert orders.dead_letters == DeadLetters(Path("/var/dead.jsonl"))
    assert orders.limits == Limits(stop_timeout_s=5, spill_dir=tmp_path / "spill")
    copy = config.pipelines["copy"]
    assert copy.sink == DuckDB(tmp_path / "shop.duckdb")
    assert copy.state_dir == tmp_path / "state"


def test_only_the_named_pipelines_are_built(tmp_path: Path) -> None:
    config = load(written(tmp_path, WHOLE), ["copy"], environ={"PGSECRET": ""})
    assert list(config.pipelines) == ["copy"]


def test_state_lies_beside_the_file_by_default(tmp_path: Path) -> None:
    assert load(written(tmp_path, SMALL), environ={}).state_dir == tmp_path / ".tailrace"


@pytest.mark.parametrize(
    ("name", "value", "of", "expected"),
    [
        ("TAILRACE_PIPELINE__A__SOURCE", "postgresql://other/db", "source.url", "postgresql://other/db"),
        ("TAILRACE_PIPELINE__A__LIMITS__STOP_TIMEOUT_S", "7.5", "limits.stop_timeout_s", 7.5),
        ("TAILRACE_PIPELINE__A__LIMITS__BATCH_BYTES_MAX", "1_000", "limits.batch_bytes_max", 1000),
        ("TAILRACE_PIPELINE__A__FORMAT__TOPIC_PREFIX", "123", "sink.format.given", (("topic_prefix", "123"),)),
        (
            "TAILRACE_PIPELINE__A__FORMAT__TOMBSTONES_ON_DELETE",
            "false",
            "sink.format.given",
            (("tombstones_on_delete", "false"),),
        ),
        ("TAILRACE_PIPELINE__A__SINK__KIND", "stdout", "sink.kind", "stdout"),
    ],
)
def test_the_environment_overrides_the_file(tmp_path: Path, name: str, value: str, of: str, expected: object) -> None:
    text = SMALL.replace('sink = "stdout:"', "sink = {}") if "SINK" in name else SMALL
    found: object = load(written(tmp_path, text), environ={name: value}).pipelines["a"]
    for part in of.split("."):
        found = getattr(found, part)
    assert found == expected


def test_overrides_reach_lists_and_names_with_dashes(tmp_path: Path) -> None:
    text = WHOLE.replace("pipeline.orders", "pipeline.big-orders")
    environ = {
        "PGSECRET": "",
        "TAILRACE_PIPELINE__BIG_ORDERS__SOURCE__TABLES": '["a.b"]',
        "TAILRACE_PIPELINE__BIG_ORDERS__TRANSFORM__0__SALT": "salt",
        "TAILRACE_STATE_DIR": "/elsewhere",
        "TAILRACE_SOMETHING_ELSE": "ignored",
    }
    config = load(written(tmp_path, text), environ=environ)
    pipeline = config.pipelines["big-orders"]
    assert isinstance(pipeline.source, Postgres)
    assert pipeline.source.tables == ("a.b",)
    assert isinstance(pipeline.transforms[0], Mask)
    assert pipeline.transforms[0].salt == "salt"
    assert config.state_dir == Path("/elsewhere")


@pytest.mark.parametrize(
    ("url", "filled"),
    [
        ("postgresql://${U}:${P}@db/shop", "postgresql://a%40b:x%40y%2Fz%3A%3F%23%25@db/shop"),
        ("postgresql://cdc:${file:secrets/a@b}@db/${D}?sslmode=${M}", "postgresql://cdc:p%40q@db/shop?sslmode=require"),
        ("postgresql://cdc:$${x}@${H}/shop", "postgresql://cdc:${x}@one:1,two:2/shop"),
        ("${URL}", "postgresql://u:p%40q@db/shop"),
        ("postgresql://${H}/shop?password=${M}", "postgresql://one:1,two:2/shop?password=require"),
        ("host=db user=${U}", "host=db user=a@b"),
    ],
)
def test_i9_a_password_of_any_letters_stays_the_password_of_its_url(tmp_path: Path, url: str, filled: str) -> None:
    """A part of it would be taken for a host, asked of the name server and told in messages."""
    environ = {
        "U": "a@b",
        "P": "x@y/z:?#%",
        "D": "shop",
        "M": "require",
        "H": "one:1,two:2",
        "URL": "postgresql://u:p%40q@db/shop",
    }
    path = written(tmp_path, f'[pipeline.a]\nsource = "{url}"\nsink = "stdout:"\n')
    (tmp_path / "secrets" / "a@b").write_text("p@q\n")
    assert read(path, environ)["pipeline"]["a"]["source"] == filled


def test_a_doubled_dollar_is_a_plain_one(tmp_path: Path) -> None:
    text = SMALL + '[pipeline.a.format]\ntopic_prefix = "$${x}-${NAME}"\n'
    sink = load(written(tmp_path, text), environ={"NAME": "n"}).pipelines["a"].sink
    assert isinstance(sink, Stdout)
    assert sink.format["topic_prefix"] == "${x}-n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tables =", "tabels =", r"pipeline.orders.source: unknown key 'tabels'; did you mean 'tables'?"),
        ('kind = "postgres"', 'kind = "postgers"', "no source of kind 'postgers'; did you mean 'postgres'?"),
        ('kind = "postgres"', "", "pipeline.orders.source: there is no kind"),
        ("[pipeline.orders.format]", "[pipeline.orders.formt]", "unknown key 'formt'; did you mean 'format'?"),
        ("state_dir", "stat_dir", "unknown key 'stat_dir'; did you mean 'state_dir'?"),
        ('"public.order_*"]', "7]", "pipeline.orders.source.tables[1]: this must be a text, not a whole number"),
        ('["public.orders", "public.order_*"]', "true", "source.tables: this must be a list, not true or false"),
        (
            '"never"',
            '"nevr"',
            "source.snapshot: this must be one of 'initial', 'always', 'never', 'only', 'when_needed'",
        ),
        ("stop_timeout_s = 5", 'stop_timeout_s = "5"', "limits.stop_timeout_s: this must be a number, not a text"),
        ('topic_prefix = "shop"', 'topic_prefx = "shop"', "pipeline.orders.format: unknown key 'topic_prefx'; did you"),
        ('topic_prefix = "shop"', "topic_prefix = 5", "pipeline.orders.format: topic_prefix: this must be a text"),
        ("stop_timeout_s = 5", "stop_timeout_m = 5", "unknown key 'stop_timeout_m'; did you mean 'stop_timeout_s'?"),
        ("stop_timeout_s = 5", "batch_bytes_max = 0", "limits.batch_bytes_max: this must be above 0"),
        ("stop_timeout_s = 5", "stop_timeout_s = -1", "limits.stop_timeout_s: this must be 0 or above"),
        ("stop_timeout_s = 5", f"batch_bytes_max = {'9' * 5000}", "is not TOML: Exceeds the limit"),
        ("stop_timeout_s = 5", f"x = {'[' * 5000}{']' * 5000}", "is nested too deeply"),
        ("stop_timeout_s = 5", "stop_timeout_s = inf", "limits.stop_timeout_s: this must be 1000000000 at most"),
        (
            "stop_timeout_s = 5",
            f"shelf_bytes_max = {1 << 63}",
            f"shelf_bytes_max: this must be {(1 << 63) - 1} at most",
        ),
        ('spill_dir = "spill"', 'spill_dir = "a\\u0000b"', "limits.spill_dir: a path holds no NUL"),
        ('state_dir = "state"', 'state_dir = "a\\u0000b"', "state_dir: a path holds no NUL"),
        ('"duckdb:shop.duckdb"', '"duckdb:a\\u0000b"', "pipeline.copy.sink.path: a path holds no NUL"),
        ('spill_dir = "spill"', "spill_dir = 3", "limits.spill_dir: this must be a text, not a whole number"),
        ('method = "hash"', 'method = "truncate"', "transform[0]: mask: method = 'truncate' needs a length"),
        ('ops = "cud"', 'ops = "xyz"', "transform[1]: select: ops = 'xyz'"),
        ("${file:secrets/salt}", "${file:nowhere}", "transform[0].salt: cannot read"),
        ("${file:secrets/salt}", "${NOT_SET}", "the environment variable NOT_SET is not set"),
        ("${file:secrets/salt}", "${", "without a name"),
        ('sink = "duckdb:shop.duckdb"', "", "pipeline.copy: there is no sink"),
        ('sink = "duckdb:shop.duckdb"', "sink = 7", "pipeline.copy.sink: this must be a table"),
        ('sink = "duckdb:shop.duckdb"', 'sink = "shop.duckdb"', "pipeline.copy.sink: this is not a URL"),
        ('sink = "duckdb:shop.duckdb"', 'sink = "stdout:x"', "takes nothing behind 'stdout:'"),
        ('sink = "duckdb:shop.duckdb"', 'sink = "duckdb:"', "pipeline.copy.sink: the key 'path' is missing"),
        ('sink = "duckdb:shop.duckdb"', 'sink = "duckdb:x?exsting=append"', "did you mean 'existing'?"),
        ('sink = "duckdb:shop.duckdb"', 'sink = "duckdb:x"\nformat = {}', "DuckDB takes no format"),
        ('sink = "duckdb:shop.duckdb"', 'sink = "duckdb:x"\ncheckpoint = "file:x?pth=y"', "did you mean 'path'?"),
        ("[pipeline.copy]", '[pipeline."a/b"]', "'a/b' cannot be the name of a pipeline"),
        ('[[pipeline.orders.transform]]\nkind = "mask"', '[pipeline.x.y]\nkind = "mask"', "unknown key 'y'"),
        ('url = "postgresql://cdc:${PGSECRET}@db/shop"', "", "pipeline.orders.source: the key 'url' is missing"),
        ("[pipeline.orders.source]", "[pipeline.orders.source", "is not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in WHOLE
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, WHOLE.replace(old, new, 1)), environ={"PGSECRET": "s3cret"})
    assert message in str(caught.value)
    assert str(tmp_path / "t.toml") in str(caught.value)
    assert "s3cret" not in str(caught.value), "I9"
    assert caught.value.exit_code == 2


def test_a_number_that_rust_cannot_hold_is_refused_with_its_place(tmp_path: Path) -> None:
    mask = (
        f'[[pipeline.p.transform]]\nkind = "mask"\ncolumns = ["public.t.c"]\nmethod = "truncate"\nlength = {1 << 70}\n'
    )
    path = written(tmp_path, f'[pipeline.p]\nsource = "postgresql://h/d"\nsink = "stdout:"\n{mask}')
    with pytest.raises(ConfigError, match=r"pipeline\.p\.transform\[0\]: a number here is too large"):
        load(path, environ={})


@pytest.mark.parametrize(
    ("program", "told", "line"),
    [
        ("1 / 0", "ZeroDivisionError", 1),
        ("\nimport sys; sys.exit(7)", "SystemExit", 2),
        ("\n\n(", "SyntaxError", 3),
        ("if 1:\nf = 1", "IndentationError", 2),
    ],
)
def test_a_module_of_a_function_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, told: str, line: int
) -> None:
    name = f"theirs_{told.lower()}"
    (tmp_path / f"{name}.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    transform = f'[[pipeline.p.transform]]\nkind = "map_changes"\nfunction = "{name}:f"\n'
    path = written(tmp_path, f'[pipeline.p]\nsource = "postgresql://h/d"\nsink = "stdout:"\n{transform}')
    where = re.escape(f"{tmp_path / name}.py:{line}\n")
    with pytest.raises(
        ConfigError, match=rf"transform\[0\]: cannot import the function '{name}:f': {told} at {where}"
    ) as caught:
        load(path, environ={})
    assert caught.value.hint == f"python -c 'import {name}' shows more"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.write_bytes(b"\xef\xbb\xbf" + WHOLE.encode())
    assert load(path, environ={"PGSECRET": "s3cret"}).pipelines.keys() == {"orders", "copy"}


def test_a_file_in_another_encoding_is_named_with_the_line(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.write_bytes(b'state_dir = "state"\n# r\xe9gions\n')
    with pytest.raises(ConfigError, match=r"t\.toml is not UTF-8, as TOML is: line 2\n  hint: save it as UTF-8"):
        load(path, environ={})


@pytest.mark.parametrize("text", ["", "[pipeline]\n", "pipeline = 3\n"])
def test_a_file_without_pipelines_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load(written(tmp_path, text), environ={})


def test_a_missing_file_and_a_missing_pipeline_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*nowhere\.toml"):
        load(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="there is no pipeline 'b'"):
        load(written(tmp_path, SMALL), ["b"], environ={})
    with pytest.raises(ConfigError, match="has no pipeline 'b'"):
        load(written(tmp_path, SMALL), environ={"TAILRACE_PIPELINE__B__SINK": "x"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TAILRACE_PIPELNE__A__SOURCE__URL", "TAILRACE_PIPELINE__"),
        ("TAILRACE_HTPT__LISTEN", "TAILRACE_HTTP__"),
        ("TAILRACE_STATEDIR", "TAILRACE_STATE_DIR"),
        ("TAILRACE_QUITE__ANOTHER", ""),
    ],
)
def test_an_override_with_a_slip_of_the_pen_is_refused(tmp_path: Path, name: str, meant: str) -> None:
    path = written(tmp_path, SMALL)
    with pytest.raises(ConfigError, match=f"{name} overrides nothing") as told:
        load(path, environ={name: "secret"})
    assert f"did you mean {meant}" in str(told.value) if meant else "did you mean" not in str(told.value)
    assert "secret" not in str(told.value)


def test_variables_that_are_no_overrides_are_told_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs = {"TAILRACE_SERVICE_HOST": "10.0.0.1", "TAILRACE_PORT": "tcp://10.0.0.1:9187"}  # as Kubernetes sets them
    path = written(tmp_path, SMALL.replace("//db", "//${TAILRACE_DB__USER}@db"))
    load(path, environ={**theirs, "TAILRACE_DB__USER": "me", "TAILRACE_FAILPOINT": ""})
    assert [record.getMessage() for record in caplog.records] == [
        "TAILRACE_PORT, TAILRACE_SERVICE_HOST: not an override of anything, and ignored"
    ]


def test_urls_name_sources_and_sinks() -> None:
    assert source_from_url("postgres://h/d", temporary=True, tables=["a.*"]) == Postgres(
        url="postgres://h/d", temporary=True, tables=["a.*"]
    )
    assert source_from_url("host=h dbname=d") == Postgres(url="host=h dbname=d")
    assert sink_from_url("file:out.jsonl?compression=zstd&rotate_bytes=1000") == File(
        Path("out.jsonl"),
        compression="zstd",
        rotate_bytes=1000,  # type: ignore[arg-type]
    )
    assert sink_from_url("file:///tmp/x.jsonl") == File(Path("/tmp/x.jsonl"))
    with pytest.raises(ConfigError, match="no source of kind 'mysql'"):
        source_from_url("mysql://h/d")
    with pytest.raises(ConfigError, match=r"^sink: this is not a URL\n  hint: for example duckdb:shop\.duckdb or"):
        sink_from_url("shop.duckdb")
    with pytest.raises(ConfigError, match=r"^source: this is not a URL\n  hint: for example postgresql://host/db or"):
        source_from_url("shop")


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ("[[pipeline.a.transform]]", "mask"),
        ("[pipeline.a.checkpoint]", "file"),
        ("[pipeline.a.dead_letters]", "file"),
    ],
)
def test_a_part_without_a_kind_is_told_one_that_it_may_be_of(tmp_path: Path, part: str, kind: str) -> None:
    """It was that of a source or a sink, whatever it was about."""
    with pytest.raises(ConfigError, match=f'there is no kind\n  hint: for example kind = "{kind}"'):
        load(written(tmp_path, f'{SMALL}{part}\npath = "x"\n'), environ={})


def test_health_and_metrics_are_configured_in_the_file_and_overridden_outside(tmp_path: Path) -> None:
    path = written(tmp_path, '[http]\nlisten = "127.0.0.1:9187"\nstalled_s = 60\n' + SMALL)
    assert load(path, environ={}).http == Http("127.0.0.1:9187", 60)
    assert load(path, environ={"TAILRACE_HTTP__LISTEN": "9188"}).http == Http("9188", 60)
    assert load(written(tmp_path, SMALL), environ={}).http == Http()
    with pytest.raises(ConfigError, match=r"http: unknown key 'port'"):
        load(written(tmp_path, "[http]\nport = 1\n" + SMALL), environ={})
    with pytest.raises(ConfigError, match=r"http: stalled_s: this must be above 0"):
        load(written(tmp_path, "[http]\nstalled_s = 0\n" + SMALL), environ={})
    with pytest.raises(ConfigError, match=r"http: stalled_s: this must be above 0"):
        load(written(tmp_path, "[http]\nstalled_s = nan\n" + SMALL), environ={})


@pytest.mark.parametrize(("count", "share"), [(1, 32 << 20), (4, 32 << 20), (8, 16 << 20), (1000, 4 << 20)])
def test_i8_many_pipelines_share_the_memory_of_four(tmp_path: Path, count: int, share: int) -> None:
    text = "".join(SMALL.replace(".a]", f".p{index}]") for index in range(count))
    path = written(tmp_path, text + "[pipeline.p0.limits]\nshelf_bytes_max = 99\n")
    pipelines = load(path, environ={}).pipelines
    assert pipelines["p0"].limits == Limits(
        batch_bytes_max=share, shelf_bytes_max=99, transaction_bytes_max=share, spill_dir=Limits().spill_dir
    )
    assert load(path, ["p0"], environ={}).pipelines["p0"].limits.batch_bytes_max == 32 << 20, "it runs alone"


def test_a_table_within_the_source_is_read_key_by_key(tmp_path: Path) -> None:
    text = """
[pipeline.b]
sink = "stdout:"
source = { kind = "postgres", url = "postgresql://db/shop", takeover = { committed_lsn = "0/17" } }
"""
    source = cast(Postgres, load(written(tmp_path, text), environ={}).pipelines["b"].source)
    assert source.takeover is not None and source.takeover.committed_lsn == "0/17"
    with pytest.raises(ConfigError, match=r"pipeline\.b\.source\.takeover: unknown key .*'committed_lsn'"):
        load(written(tmp_path, text.replace("committed", "commited")), environ={})
